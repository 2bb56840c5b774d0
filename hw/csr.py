"""The control and status registers on AXI4-Lite, built from the declarations in :mod:`hw.spec`."""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.axi import axi_lite_signature

OKAY = 0
SLVERR = 2

_COUNTERS_END = spec.COUNTER_OFFSET + 8 * spec.SNAPSHOT_BEATS


def csr_shape(csr: spec.Csr) -> Shape | data.StructLayout:
    """Return the shape of a register's port: one member per named bit, or the 32-bit word.

    Parameters
    ----------
    csr : Csr
        The register.
    """
    return data.StructLayout(dict.fromkeys(csr.bits, 1)) if csr.bits else unsigned(32)


def _ports(csr: spec.Csr) -> dict[str, wiring.Member]:
    shape = csr_shape(csr)
    if csr.access == "R":
        return {csr.name: In(shape)}
    if csr.access == "RW1C":
        return {csr.name: Out(shape), f"{csr.name}_set": In(shape)}
    return {csr.name: Out(shape)}


class CsrBank(wiring.Component):
    """AXI4-Lite slave for the registers of ``spec.CSRS`` and the live counters.

    Address and data of a write may come in either order. Accesses to addresses without a register answer SLVERR and
    do nothing else; writes to R and reads of W registers answer OKAY, do nothing and read as zero.

    Latency: W registers pulse in the cycle after the later half of a write, the others change one cycle later; a read
    answers in the cycle after its address. Throughput: a write every three cycles, a read every two.

    Members
    -------
    bus : In(axi_lite_signature())
        The bus.
    <name of an R register> : In
        The value to read.
    <name of a W register> : Out
        The bits written, for one cycle.
    <name of an RW register> : Out
        The value last written.
    <name of an RW1C register> : Out
        Bits that were set and not yet cleared by writing one to them.
    <name of an RW1C register>_set : In
        Bits to set; wins over clearing.
    live_index : Out(6)
        The performance counter to look at.
    live : In(64)
        Its value, in the same cycle.
    """

    def __init__(self) -> None:
        ports = {name: member for csr in spec.CSRS for name, member in _ports(csr).items()}
        super().__init__({"bus": In(axi_lite_signature()), **ports, "live_index": Out(6), "live": In(64)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        bus = self.bus
        address, have_address = Signal.like(bus.awaddr, name="write_address"), Signal()
        word, mask, have_word = Signal(32, name="write_word"), Signal(32, name="write_mask"), Signal()
        m.d.comb += [bus.awready.eq(~have_address), bus.wready.eq(~have_word)]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address.eq(bus.awaddr), have_address.eq(1)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [word.eq(bus.wdata), have_word.eq(1)]
            m.d.sync += mask.eq(Cat(strobe.replicate(8) for strobe in bus.wstrb))
        with m.If(bus.bvalid & bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        go = Signal(name="write")
        m.d.comb += go.eq(have_address & have_word & ~bus.bvalid)
        with m.If(go):
            m.d.sync += [have_address.eq(0), have_word.eq(0), bus.bvalid.eq(1)]
            m.d.sync += bus.bresp.eq(_response(address))
        for csr in spec.CSRS:
            hit = go & (address[2:] == csr.offset // 4)
            self._register(m, csr, hit=hit, word=word, mask=mask)

    def _register(self, m: Module, csr: spec.Csr, *, hit: Value, word: Signal, mask: Signal) -> None:
        port = Value.cast(getattr(self, csr.name))
        if csr.access == "W":
            with m.If(hit):
                m.d.comb += port.eq(word & mask)
        elif csr.access == "RW":
            with m.If(hit):
                m.d.sync += port.eq((port & ~mask) | (word & mask))
        elif csr.access == "RW1C":
            clear = hit.replicate(len(port)) & word & mask
            m.d.sync += port.eq((port & ~clear) | Value.cast(getattr(self, f"{csr.name}_set")))

    def _read(self, m: Module) -> None:
        bus = self.bus
        counter = bus.araddr - spec.COUNTER_OFFSET
        m.d.comb += [self.live_index.eq(counter >> 3), bus.arready.eq(~bus.rvalid)]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [bus.rvalid.eq(1), bus.rresp.eq(_response(bus.araddr)), bus.rdata.eq(0)]
            with m.Switch(bus.araddr[2:]):
                for csr in spec.CSRS:
                    if "R" in csr.access:
                        with m.Case(csr.offset // 4):
                            m.d.sync += bus.rdata.eq(Value.cast(getattr(self, csr.name)))
                with m.Default(), m.If(_is_counter(bus.araddr)):
                    m.d.sync += bus.rdata.eq(self.live.word_select(bus.araddr[2], 32))
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += bus.rvalid.eq(0)


def _is_counter(address: Value) -> Value:
    return (address >= spec.COUNTER_OFFSET) & (address < _COUNTERS_END)


def _response(address: Value) -> Value:
    is_csr = Cat(address[2:] == csr.offset // 4 for csr in spec.CSRS).any()
    return Mux(is_csr | _is_counter(address), OKAY, SLVERR)
