"""The cost model's read port when all places in flight are taken."""

from golden.memory_model import (
    FETCH_READS,
    LOAD_READS,
    NOBODY,
    RESIDUAL_READS,
    Bursts,
    Bus,
    Memory,
    Port,
    arbitrate,
    begin_read,
    want,
)

LATENCY_CYCLES, BEATS = 10, 4


def test_a_waiting_want_goes_when_a_burst_ends_although_a_later_want_is_planned():
    memory = Memory(Port(limit=1), Bus(LATENCY_CYCLES), Bursts(), Bursts())
    port = memory.port
    want(port, RESIDUAL_READS, 5, BEATS, 0)
    assert arbitrate(memory, port.arbitration) == RESIDUAL_READS and port.last == 5
    want(port, LOAD_READS, 6, BEATS, 0)
    assert port.arbitration == 6 and arbitrate(memory, 6) == NOBODY
    want(port, FETCH_READS, 60, BEATS, 0)
    assert memory.bus.grant == 5 + LATENCY_CYCLES
    begin_read(memory, memory.bus.grant)
    last_beat = 5 + LATENCY_CYCLES + BEATS - 1
    assert port.arbitration == last_beat + 1 and arbitrate(memory, last_beat) == NOBODY
    assert port.arbitration == last_beat + 1 and arbitrate(memory, last_beat + 1) == LOAD_READS
