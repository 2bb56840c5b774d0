import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.memory_model import Dram, ReadPort, Timeline, split_bursts
from hw.config import preset


@given(st.integers(0, 2000), st.integers(1, 700), st.sampled_from([4, 16, 256]))
def test_bursts_cover_the_run_and_obey_axi(word, beats, longest):
    bursts = list(split_bursts(8 * word, beats, bus_bytes=8, burst_beats=longest))
    assert bursts[0][0] == 8 * word and sum(length for _, length in bursts) == beats
    for (address, length), (following, _) in zip(bursts, bursts[1:], strict=False):
        assert address + 8 * length == following
    for address, length in bursts:
        assert 1 <= length <= longest and address // 4096 == (address + 8 * length - 1) // 4096


class Recorder:
    def __init__(self):
        self.events = []

    def accepted(self, cycle):
        self.events.append(("accepted", cycle))

    def first_beat(self, cycle, tag):
        return cycle

    def received(self, first, beats, tag):
        self.events.append((tag, first))


@pytest.fixture
def bus():
    timeline = Timeline()
    dram = Dram(timeline=timeline, latency_cycles=10)
    return timeline, dram, ReadPort(config=preset("tiny"), timeline=timeline, dram=dram)


def test_a_read_begins_one_latency_after_its_address(bus):
    timeline, _, port = bus
    reader = Recorder()
    port.want(0, 5, 4, reader, "r")
    timeline.run(lambda: None)
    assert reader.events == [("accepted", 5), ("r", 15)]


def test_fetch_goes_before_load_and_one_address_a_cycle(bus):
    timeline, _, port = bus
    fetch, load = Recorder(), Recorder()
    port.want(1, 5, 4, load, "load")
    port.want(0, 5, 4, fetch, "fetch")
    timeline.run(lambda: None)
    assert fetch.events == [("accepted", 5), ("fetch", 15)]
    assert load.events == [("accepted", 6), ("load", 19)]  # the bus is busy from 15 to 18


def test_a_write_goes_before_a_read_and_holds_the_bus(bus):
    timeline, dram, port = bus
    reader, done = Recorder(), []
    port.want(0, 5, 4, reader, "r")
    dram.write(14, 8, lambda first, response: done.append((first, response)))
    timeline.run(lambda: None)
    assert done == [(15, 15 + 7 + 10)]
    assert reader.events[-1] == ("r", 23)
