"""Drain's sender: buffers between transposer and bus, and the snapshots that marks write."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.config import AcceleratorConfig
from hw.drain_transposer import beat_layout
from hw.write_master import WRITE


class DrainSender(wiring.Component):
    """Hold announced writes until they are complete, and their beats until the bus takes them.

    Latency: a write goes on one cycle after it is complete, a beat one cycle after it came in. Throughput: a write and
    a beat a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    announced : In(stream of WRITE)
        Writes whose beats will come.
    complete : In(1)
        Pulse: one more of them may go on, in order.
    beat_valid, beat : In(1), In(beat_layout(config))
        Their beats; whoever announces writes takes care that there is room.
    send_snapshot : In(1)
        Pulse: the write announced and complete in this cycle is the snapshot. Only while no other beats are here.
    snapshot_index, snapshot : Out(6), In(64)
        The counter wanted, and its value.
    writes : Out(stream of WRITE)
        Complete writes.
    beats : Out(stream of beat_layout(config))
        Beats for them.
    beat_sent : Out(1)
        A beat goes on that is not a snapshot's.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                "announced": In(stream.Signature(WRITE)),
                "complete": In(1),
                "beat_valid": In(1),
                "beat": In(beat_layout(config)),
                "send_snapshot": In(1),
                "snapshot_index": Out(6),
                "snapshot": In(64),
                "writes": Out(stream.Signature(WRITE)),
                "beats": Out(stream.Signature(beat_layout(config))),
                "beat_sent": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._hold_writes(m)
        beats = SyncFIFO(width=beat_layout(self._config).size, depth=self._config.drain_fifo_beats)
        m.submodules.beats = beats
        sending_snapshot = Signal()
        m.d.comb += [beats.w_data.eq(self.beat), beats.w_en.eq(self.beat_valid)]
        with m.If(sending_snapshot):
            last = self.snapshot_index == spec.SNAPSHOT_BEATS - 1
            m.d.comb += [
                self.beats.valid.eq(1),
                self.beats.payload.data.eq(self.snapshot),
                self.beats.payload.strobe.eq(-1),
                self.beats.payload.last.eq(last),
            ]
            with m.If(self.beats.ready):
                m.d.sync += self.snapshot_index.eq(self.snapshot_index + 1)
                with m.If(last):
                    m.d.sync += [sending_snapshot.eq(0), self.snapshot_index.eq(0)]
        with m.Else():
            m.d.comb += [
                self.beats.valid.eq(beats.r_rdy),
                self.beats.payload.eq(beats.r_data),
                beats.r_en.eq(self.beats.ready),
                self.beat_sent.eq(self.beats.valid & self.beats.ready),
            ]
        with m.If(self.send_snapshot):
            m.d.sync += sending_snapshot.eq(1)
        return m

    def _hold_writes(self, m: Module) -> None:
        depth = self._config.drain_fifo_beats
        writes = SyncFIFO(width=WRITE.size, depth=depth)
        m.submodules.writes = writes
        complete = Signal(range(depth + 1))
        may_go = complete != 0
        m.d.comb += [
            writes.w_data.eq(self.announced.payload),
            writes.w_en.eq(self.announced.valid),
            self.announced.ready.eq(writes.w_rdy),
            self.writes.payload.eq(writes.r_data),
            self.writes.valid.eq(writes.r_rdy & may_go),
            writes.r_en.eq(self.writes.ready & may_go),
        ]
        m.d.sync += complete.eq(complete + self.complete - (self.writes.valid & self.writes.ready))
