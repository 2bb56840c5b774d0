import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.memory_model import (
    FETCH_READS,
    LOAD_READS,
    NEVER,
    Bursts,
    Bus,
    Memory,
    Port,
    arbitrate,
    begin_read,
    begin_write,
    burst_beats,
    oldest_accepted,
    plan_next_grant,
    request_write,
    want,
)
from hw.config import preset

LATENCY_CYCLES = 10
TAG = 3


@given(st.integers(0, 2000), st.integers(1, 700), st.sampled_from([4, 16, 256]))
def test_bursts_cover_the_run_and_obey_axi(word, beats, longest):
    address, left = 8 * word, beats
    while left:
        length = burst_beats(address, left, longest, 8)
        assert 1 <= length <= min(longest, left) and address // 4096 == (address + 8 * length - 1) // 4096
        address += 8 * length
        left -= length
        assert left == 0 or length == longest or address % 4096 == 0


@given(st.integers(0, 1 << 32))
def test_a_burst_has_a_beat_at_any_address(address):
    assert burst_beats(address, 5, 16, 8) >= 1


class Machine:
    """Port and bus; remembers what happens when."""

    def __init__(self):
        limit = preset("tiny").outstanding_reads
        self.memory = Memory(Port(limit), Bus(LATENCY_CYCLES), Bursts(), Bursts())
        self.accepted, self.first_read, self.first_write = {}, {}, {}

    def run(self):
        memory = self.memory
        while (now := min(memory.port.arbitration, memory.bus.grant)) < NEVER:
            if now == memory.port.arbitration:
                self.accepted[arbitrate(memory, now)] = now
                continue
            if oldest_accepted(memory.writes) < now:
                self.first_write[memory.writes.tag[begin_write(memory, now)]] = now
            else:
                self.first_read[memory.reads.reader[begin_read(memory, now)]] = now
            plan_next_grant(memory)


@pytest.fixture
def machine():
    return Machine()


def test_a_read_begins_one_latency_after_its_address(machine):
    want(machine.memory.port, FETCH_READS, 5, 4, 0)
    machine.run()
    assert machine.accepted == {FETCH_READS: 5} and machine.first_read == {FETCH_READS: 5 + LATENCY_CYCLES}


def test_fetch_goes_before_load_and_one_address_a_cycle(machine):
    want(machine.memory.port, LOAD_READS, 5, 4, 0)
    want(machine.memory.port, FETCH_READS, 5, 4, 0)
    machine.run()
    assert machine.accepted == {FETCH_READS: 5, LOAD_READS: 6}
    assert machine.first_read == {FETCH_READS: 15, LOAD_READS: 19}  # the bus is busy from 15 to 18


def test_a_write_goes_before_a_read_and_holds_the_bus(machine):
    want(machine.memory.port, FETCH_READS, 5, 4, 0)
    request_write(machine.memory, 14, 8, TAG)
    machine.run()
    assert machine.first_write == {TAG: 15} and machine.first_read == {FETCH_READS: 15 + 8}
