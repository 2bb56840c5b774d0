"""AXI4 write master of drain."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw import spec
from hw.axi import BURST_INCR, PAGE_BYTES, axi_write_signature
from hw.config import AcceleratorConfig
from hw.drain_transposer import beat_layout
from hw.layouts import ERROR_REPORT

_BEATS = unsigned(bits_for(spec.SNAPSHOT_BEATS))

#: Consecutive words to write; the first ``split`` of them lie before the next 4 KiB border. ``written`` tokens are due
#: when DRAM has them all; ``index`` is the command that wants it. ``first_inside`` and ``inside``: the words before the
#: border, and all words, lie in the window.
WRITE = data.StructLayout(
    {
        "address": 32,
        "beats": _BEATS,
        "split": _BEATS,
        "written": 4,
        "index": spec.COMMAND_INDEX_BITS,
        "first_inside": 1,
        "inside": 1,
    }
)


def inside_window(write: data.View, base: Value, limit: Value) -> dict[str, Value]:
    """Return ``first_inside`` and ``inside`` of a write.

    Parameters
    ----------
    write : View of WRITE
        Its address and beats.
    base, limit : Value
        First byte that may be written, and first byte after those.
    """
    page_bits = bits_for(PAGE_BYTES - 1)
    above_base = write.address >= base
    end_kept = write.address + (write.beats << 3) <= limit
    border_kept = Cat(Const(0, page_bits), write.address[page_bits:] + 1) <= limit
    return {"first_inside": above_base & (end_kept | border_kept), "inside": above_base & end_kept}


class WriteMaster(wiring.Component):
    """Issue writes in order, in two bursts if they cross 4 KiB, and watch the responses.

    A burst outside the window is reported and not issued, nor is anything after it. An AW that has been shown stays
    until it is accepted, whatever else happens. Beats go no further ahead than the burst whose AW is shown.

    Latency: none, requests and beats pass combinationally. Throughput: one burst and one beat a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    writes : In(stream of WRITE)
        Writes to issue; taken with their last burst.
    beats : In(stream of beat_layout(config))
        Their beats.
    axi : Out(axi_write_signature(config))
        The bus.
    halt : In(1)
        Issue no more bursts.
    acknowledged : Out(1)
        Pulse: the oldest burst in flight has been answered.
    written_give : Out(16)
        Tokens due with it.
    error : Out(ERROR_REPORT)
        Pulse with code ``address_window`` or ``write_response``; the latter wins if both happen at once.
    idle : Out(1)
        No burst is in flight and none is waiting to be accepted.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                "writes": In(stream.Signature(WRITE)),
                "beats": In(stream.Signature(beat_layout(config))),
                "axi": Out(axi_write_signature(config)),
                "halt": In(1),
                "acknowledged": Out(1),
                "written_give": Out(spec.SEMAPHORE_BITS),
                "error": Out(ERROR_REPORT),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi = self.axi
        bursts = SyncFIFO(width=WRITE.size, depth=self._config.outstanding_writes)
        m.submodules.bursts = bursts
        burst = Signal(WRITE)
        answered = Signal(WRITE)
        issued = Signal()
        inside = self._cut(m, burst, issued)
        refused = self._offer(m, burst, bursts.w_rdy, inside)
        self._pass_beats(m, issued)
        failed = axi.bvalid & axi.bresp[1]
        m.d.comb += [
            issued.eq(axi.awvalid & axi.awready),
            bursts.w_data.eq(burst),
            bursts.w_en.eq(issued),
            axi.bready.eq(1),
            bursts.r_en.eq(axi.bvalid),
            answered.eq(bursts.r_data),
            self.acknowledged.eq(axi.bvalid),
            self.written_give.eq(Mux(axi.bvalid, answered.written, 0)),
            self.idle.eq(~bursts.r_rdy & ~axi.awvalid),
            self.error.valid.eq(failed | refused),
            self.error.code.eq(spec.ERROR_CODE["address_window"]),
            self.error.index.eq(burst.index),
            self.error.address.eq(burst.address),
        ]
        with m.If(failed):
            m.d.comb += [
                self.error.code.eq(spec.ERROR_CODE["write_response"]),
                self.error.index.eq(answered.index),
                self.error.address.eq(answered.address),
            ]
        return m

    def _cut(self, m: Module, burst: data.View, issued: Signal) -> Value:
        """Drive the burst that comes next and take a write with its last one; return whether it is in the window."""
        write = self.writes.payload
        second = Signal()
        is_last = second | (write.split == write.beats)
        border = bits_for(PAGE_BYTES - 1)
        m.d.comb += [burst.eq(write), burst.split.eq(burst.beats), self.writes.ready.eq(issued & is_last)]
        with m.If(second):
            m.d.comb += burst.beats.eq(write.beats - write.split)
            m.d.comb += burst.address.eq(Cat(Const(0, border), write.address[border:] + 1))
        with m.Else():
            m.d.comb += burst.beats.eq(write.split)
        with m.If(~is_last):
            m.d.comb += burst.written.eq(0)
        with m.If(issued):
            m.d.sync += second.eq(~is_last)
        return Mux(second, write.inside, write.first_inside)

    def _offer(self, m: Module, burst: data.View, has_room: Signal, inside: Value) -> Signal:
        """Drive AW; return whether the burst is refused now."""
        axi = self.axi
        waiting = Signal()
        stopped = Signal()
        may_issue = Signal()
        refused = Signal()
        m.d.comb += [
            may_issue.eq(has_room & ~self.halt & ~stopped),
            refused.eq(self.writes.valid & ~waiting & may_issue & ~inside & ~axi.bvalid),
            axi.awvalid.eq(self.writes.valid & (waiting | (may_issue & inside))),
            axi.awaddr.eq(burst.address),
            axi.awlen.eq(burst.beats - 1),
            axi.awsize.eq(bits_for(self._config.bus_bytes - 1)),
            axi.awburst.eq(BURST_INCR),
        ]
        m.d.sync += [waiting.eq(axi.awvalid & ~axi.awready), stopped.eq(stopped | refused)]
        return refused

    def _pass_beats(self, m: Module, issued: Signal) -> None:
        """Hold back the beats of bursts whose AW has not been shown."""
        axi, beat = self.axi, self.beats.payload
        #: Bursts whose AW was accepted minus those whose last beat was.
        ahead = Signal(range(-1, self._config.outstanding_writes + 1))
        may_send = (ahead > 0) | ((ahead == 0) & axi.awvalid)
        m.d.comb += [
            axi.wvalid.eq(self.beats.valid & may_send),
            self.beats.ready.eq(axi.wready & may_send),
            axi.wdata.eq(beat.data),
            axi.wstrb.eq(beat.strobe),
            axi.wlast.eq(beat.last),
        ]
        m.d.sync += ahead.eq(ahead + issued - (axi.wvalid & axi.wready & axi.wlast))
