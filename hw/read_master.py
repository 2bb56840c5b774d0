"""AXI4 read master shared by fetch, load and drain's residuals."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.axi import BURST_INCR, axi_read_signature
from hw.config import AcceleratorConfig
from hw.layouts import ERROR_REPORT, READ_REQUEST

READERS = ("fetch", "load", "residual")
"""Who reads, in the order of their IDs."""

PRIORITY = ("fetch", "residual", "load")
"""The same, the first to be served first."""

#: What is remembered of a burst in flight: who wanted it and where it starts.
_BURST = data.StructLayout({"index": spec.COMMAND_INDEX_BITS, "address": 32})


class ReadMaster(wiring.Component):
    """Issue the bursts that fetch (ID 0), load (ID 1) and drain's residuals (ID 2) want, and hand their beats back.

    Fetch goes before residuals before load.

    A request whose bytes are not all inside the window is consumed without a burst and reported. An error response is
    reported once per burst, with the burst's address; its beats are handed on all the same. An AR that has been shown
    stays until it is accepted, whatever else happens.

    Latency: none, requests and beats pass combinationally. Throughput: one burst and one beat a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    axi : Out(axi_read_signature(config))
        The bus; IDs may be interleaved, bursts of one ID come back in order.
    fetch_request, load_request, residual_request : In(stream of READ_REQUEST)
        Bursts to issue.
    fetch_data, load_data, residual_data : Out(stream of 64 bits)
        Beats that have arrived.
    window_base, window_limit : In(32)
        First byte that may be read, and first byte after those.
    halt : In(1)
        No new requests are taken.
    error : Out(ERROR_REPORT)
        Pulse with code ``address_window`` or ``read_response``; the latter wins if both happen at once.
    idle : Out(1)
        No burst is in flight and none is waiting to be accepted.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "axi": Out(axi_read_signature(config)),
                **{f"{name}_request": In(stream.Signature(READ_REQUEST)) for name in READERS},
                **{f"{name}_data": Out(stream.Signature(config.bus_bits)) for name in READERS},
                "window_base": In(32),
                "window_limit": In(32),
                "halt": In(1),
                "error": Out(ERROR_REPORT),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi = self.axi
        in_flight = Signal(range(self._config.outstanding_reads + 1))
        issued = Signal()
        finished = Signal()
        m.d.comb += [
            issued.eq(axi.arvalid & axi.arready),
            finished.eq(axi.rvalid & axi.rready & axi.rlast),
        ]
        m.d.sync += in_flight.eq(in_flight + issued - finished)
        self._pass_beats(m)
        burst, outside = self._arbitrate(m, in_flight)
        failed, failed_burst = self._track_bursts(m, burst, issued, finished)
        error_code = spec.ERROR_CODE
        m.d.comb += [
            self.error.valid.eq(failed | outside),
            self.error.code.eq(Mux(failed, error_code["read_response"], error_code["address_window"])),
            self.error.index.eq(Mux(failed, failed_burst.index, burst.index)),
            self.error.address.eq(Mux(failed, failed_burst.address, burst.address)),
        ]
        return m

    def _is_outside(self, request: data.View) -> Value:
        end = request.address + (request.beats << 3)
        return (request.address < self.window_base) | (end > self.window_limit)

    def _arbitrate(self, m: Module, in_flight: Signal) -> tuple[data.View, Signal]:
        """Drive AR and the requests' ready; return the chosen burst and whether it is refused now."""
        axi = self.axi
        waiting = Signal()
        refused = Signal()
        shown = Signal()
        chosen = Signal(READ_REQUEST)
        grants = self._grant(m, waiting, ~self.halt & (in_flight != self._config.outstanding_reads))
        for rid, name in enumerate(READERS):
            request = getattr(self, f"{name}_request")
            outside = Signal(name=f"outside_{name}")
            m.d.comb += [
                outside.eq(self._is_outside(request.payload)),
                request.ready.eq(grants[name] & (axi.arready | outside)),
            ]
            with m.If(grants[name]):
                m.d.comb += [chosen.eq(request.payload), axi.arid.eq(rid), refused.eq(outside), shown.eq(~outside)]
        m.d.comb += [
            axi.arvalid.eq(shown),
            axi.araddr.eq(chosen.address),
            axi.arlen.eq(chosen.beats - 1),
            axi.arsize.eq(3),
            axi.arburst.eq(BURST_INCR),
            self.idle.eq((in_flight == 0) & ~waiting),
        ]
        m.d.sync += waiting.eq(shown & ~axi.arready)
        return chosen, refused

    def _grant(self, m: Module, waiting: Signal, may_issue: Value) -> dict[str, Signal]:
        """Return whose request is looked at now, at most one: the one whose AR waits, if one does."""
        grants = {}
        for name in PRIORITY:
            grant = Signal(name=f"grant_{name}")
            granted = Signal(name=f"granted_{name}")
            valid = getattr(self, f"{name}_request").valid
            m.d.comb += grant.eq(Mux(waiting, granted, may_issue & valid))
            m.d.sync += granted.eq(grant)
            may_issue = may_issue & ~valid
            grants[name] = grant
        return grants

    def _pass_beats(self, m: Module) -> None:
        axi = self.axi
        for rid, name in enumerate(READERS):
            port = getattr(self, f"{name}_data")
            m.d.comb += [port.payload.eq(axi.rdata), port.valid.eq(axi.rvalid & (axi.rid == rid))]
            with m.If(axi.rid == rid):
                m.d.comb += axi.rready.eq(port.ready)

    def _track_bursts(self, m: Module, burst: data.View, issued: Signal, finished: Signal) -> tuple[Signal, data.View]:
        """Remember the bursts in flight; return whether one fails now, and which."""
        axi = self.axi
        reported = Signal(len(READERS))
        failed = Signal()
        failed_burst = Signal(_BURST)
        m.d.comb += failed.eq(axi.rvalid & axi.rready & axi.rresp[1] & ~reported.bit_select(axi.rid, 1))
        for rid, name in enumerate(READERS):
            fifo = SyncFIFO(width=_BURST.size, depth=self._config.outstanding_reads)
            m.submodules[f"{name}_bursts"] = fifo
            m.d.comb += [
                fifo.w_data.eq(Cat(burst.index, burst.address)),
                fifo.w_en.eq(issued & (axi.arid == rid)),
                fifo.r_en.eq(finished & (axi.rid == rid)),
            ]
            with m.If(axi.rid == rid):
                m.d.comb += failed_burst.eq(fifo.r_data)
                with m.If(finished):
                    m.d.sync += reported[rid].eq(0)
                with m.Elif(failed):
                    m.d.sync += reported[rid].eq(1)
        return failed, failed_burst
