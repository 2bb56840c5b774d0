"""The cost model's read port when all places in flight are taken."""

from golden.memory_model import Dram, ReadPort, Timeline
from hw.config import preset

LATENCY_CYCLES, BEATS = 10, 4


class Recorder:
    """Remembers when its ARs were accepted."""

    def __init__(self):
        self.accepted_in = []

    def accepted(self, cycle):
        self.accepted_in.append(cycle)

    def first_beat(self, cycle, tag):
        return cycle

    def received(self, first, beats, tag):
        pass


def test_a_waiting_want_goes_when_a_burst_ends_although_a_later_want_is_planned():
    timeline = Timeline()
    dram = Dram(timeline=timeline, latency_cycles=LATENCY_CYCLES)
    config = preset("tiny").with_fields({"outstanding_reads": 1})
    port = ReadPort(config=config, timeline=timeline, dram=dram)
    first, load, fetch = Recorder(), Recorder(), Recorder()
    port.want(0, 5, BEATS, first, None)
    port.want(1, 6, BEATS, load, None)
    timeline.at(7, lambda now: port.want(0, 60, BEATS, fetch, None))
    timeline.run(lambda: None)
    last_beat = 5 + LATENCY_CYCLES + BEATS - 1
    assert (first.accepted_in, load.accepted_in, fetch.accepted_in) == ([5], [last_beat + 1], [60])
