"""The top of the machine: everything instantiated and connected."""

from collections.abc import Iterator

from amaranth.hdl import Elaboratable, Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.axi import axi_lite_signature, axi_read_signature, axi_write_signature
from hw.config import AcceleratorConfig
from hw.control import REPORTERS, Control
from hw.counters import COUNTING, WAITING, CounterBank
from hw.csr import CsrBank
from hw.deliver import DeliverEngine
from hw.drain import DrainEngine
from hw.fetch import Fetch
from hw.filter_buffer import FilterBuffer
from hw.ifmap_buffer import IfmapBuffer
from hw.layouts import QUEUED_COMMAND
from hw.load import LoadEngine
from hw.mac import MacEngine
from hw.parameter_memory import ParameterMemory
from hw.pe_array import PEArray
from hw.psum_banks import PsumBanks
from hw.read_master import ReadMaster
from hw.semaphore import Semaphore
from hw.stage import StageEngine

#: Token counters that programs do not see: name -> (giver, taker, tokens at the start).
INTERNAL_SEMAPHORES: dict[str, tuple[str, str, int]] = {
    "staged": ("stage", "mac", 0),
    "delivered": ("deliver", "mac", 0),
    "halves": ("mac", "stage", 2),
}


def axi_signature(config: AcceleratorConfig) -> wiring.Signature:
    """Return the AXI4 interface with both halves, seen from the master.

    Parameters
    ----------
    config : AcceleratorConfig
        Gives the address and data width.
    """
    return wiring.Signature({**axi_read_signature(config).members, **axi_write_signature(config).members})


def top_signature(config: AcceleratorConfig) -> wiring.Signature:
    """Return the ports of the whole machine, clock and reset aside.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """
    return wiring.Signature({"axi": Out(axi_signature(config)), "csr": In(axi_lite_signature()), "interrupt": Out(1)})


class Eyas(wiring.Component):
    """A row-stationary CNN accelerator that runs programs from DRAM.

    Latency and throughput: ``docs/timing.md``.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    axi : Out(axi_signature(config))
        DRAM.
    csr : In(axi_lite_signature())
        Control and status registers.
    interrupt : Out(1)
        High while a bit of the interrupt register is set.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(top_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.controller = Control()
        m.submodules.csr = CsrBank()
        m.submodules.counters = CounterBank(config=self._config)
        with_reset = ResetInserter(m.submodules.controller.engine_reset)
        for name, part in self._parts():
            m.submodules[name] = with_reset(part)
        self._connect_control(m)
        self._connect_errors(m)
        self._connect_counters(m)
        self._connect_commands(m)
        self._connect_semaphores(m)
        self._connect_axi(m)
        self._connect_load(m)
        self._connect_filters(m)
        self._connect_deliver(m)
        self._connect_mac(m)
        self._connect_drain(m)
        return m

    def _parts(self) -> Iterator[tuple[str, Elaboratable]]:
        """Yield what start and reset reset, by instance name."""
        config = self._config
        yield "read_master", ReadMaster(config=config)
        yield "fetch", Fetch(config=config)
        yield "load", LoadEngine(config=config)
        yield "stage", StageEngine(config=config)
        yield "deliver", DeliverEngine(config=config)
        yield "mac", MacEngine(config=config)
        yield "drain", DrainEngine(config=config)
        yield "array", PEArray(config=config)
        yield "ifmap_buffer", IfmapBuffer(config=config)
        yield "filter_buffer", FilterBuffer(config=config)
        yield "parameter_memory", ParameterMemory(config=config)
        yield "psum_banks", PsumBanks(config=config)
        for engine in spec.ENGINES:
            yield f"{engine}_queue", SyncFIFO(width=QUEUED_COMMAND.size, depth=config.queue_depth)
        for name in spec.SEMAPHORES:
            yield f"{name}_tokens", Semaphore()
        for name, (_, _, initial) in INTERNAL_SEMAPHORES.items():
            yield f"{name}_tokens", Semaphore(initial=initial)

    def _connect_control(self, m: Module) -> None:
        parts = m.submodules
        control, csr, counters = parts.controller, parts.csr, parts.counters
        wiring.connect(m, wiring.flipped(self.csr), csr.bus)
        m.d.comb += [
            control.start.eq(csr.control.start),
            control.reset.eq(csr.control.reset),
            control.masters_idle.eq(parts.read_master.idle & parts.drain.idle),
            control.done.eq(parts.drain.done),
            csr.identifier.eq(spec.IDENTIFIER),
            csr.version.eq(spec.VERSION),
            csr.status.eq(control.status),
            csr.interrupt_set.eq(control.interrupt_set),
            csr.cycles_low.eq(counters.total[:32]),
            csr.cycles_high.eq(counters.total[32:]),
            self.interrupt.eq(csr.interrupt.as_value().any()),
            parts.fetch.start.eq(control.go),
            parts.fetch.program_address.eq(csr.program_address),
            parts.fetch.program_commands.eq(csr.program_commands),
            parts.mac.running.eq(control.running),
        ]
        for engine in (*COUNTING, "read_master"):
            m.d.comb += parts[engine].halt.eq(control.halt)

    def _connect_errors(self, m: Module) -> None:
        control, csr = m.submodules.controller, m.submodules.csr
        for name in REPORTERS:
            m.d.comb += getattr(control, f"error_{name}").eq(m.submodules[name].error)
        for name in ("error_code", "error_command", "error_address"):
            m.d.comb += getattr(csr, name).eq(getattr(control, name))

    def _connect_counters(self, m: Module) -> None:
        parts = m.submodules
        counters, drain = parts.counters, parts.drain
        for engine in COUNTING:
            m.d.comb += getattr(counters, f"counts_{engine}").eq(parts[engine].counts)
            m.d.comb += getattr(counters, f"capture_{engine}").eq(parts[engine].capture)
        for engine in WAITING:
            m.d.comb += parts[engine].mark_free.eq(getattr(counters, f"mark_free_{engine}"))
        m.d.comb += [
            counters.clear.eq(parts.controller.clear),
            counters.running.eq(parts.controller.go | parts.controller.running),
            counters.marked.eq(drain.marked),
            drain.all_captured.eq(counters.all_captured),
            counters.snapshot_index.eq(drain.snapshot_index),
            drain.snapshot.eq(counters.snapshot),
            counters.live_index.eq(parts.csr.live_index),
            parts.csr.live.eq(counters.live),
        ]

    def _connect_commands(self, m: Module) -> None:
        parts = m.submodules
        for engine in spec.ENGINES:
            queue = parts[f"{engine}_queue"]
            wiring.connect(m, getattr(parts.fetch, engine), queue.w_stream)
            wiring.connect(m, queue.r_stream, parts[engine].command)

    def _connect_semaphores(self, m: Module) -> None:
        parts = m.submodules
        users = spec.SEMAPHORES | {name: (giver, taker) for name, (giver, taker, _) in INTERNAL_SEMAPHORES.items()}
        for name, (giver, taker) in users.items():
            tokens = parts[f"{name}_tokens"]
            give = parts.mac.release_half if name == "halves" else getattr(parts[giver], f"{name}_give")
            m.d.comb += [
                tokens.give.eq(give),
                tokens.take.eq(getattr(parts[taker], f"{name}_take")),
                getattr(parts[taker], f"{name}_level").eq(tokens.level),
            ]

    def _connect_axi(self, m: Module) -> None:
        parts, csr = m.submodules, m.submodules.csr
        reads = parts.read_master
        for master in (reads, parts.drain):
            m.d.comb += [master.window_base.eq(csr.window_base), master.window_limit.eq(csr.window_limit)]
            for name, member in master.axi.signature.members.items():
                inner, outer = getattr(master.axi, name), getattr(self.axi, name)
                m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        wiring.connect(m, parts.fetch.request, reads.fetch_request)
        wiring.connect(m, reads.fetch_data, parts.fetch.data)
        wiring.connect(m, parts.load.request, reads.load_request)
        wiring.connect(m, reads.load_data, parts.load.data)
        wiring.connect(m, parts.drain.residual_request, reads.residual_request)
        wiring.connect(m, reads.residual_data, parts.drain.residual_data)

    def _connect_load(self, m: Module) -> None:
        """From load into the global buffer and the parameter memory."""
        parts, load = m.submodules, m.submodules.load
        m.d.comb += [
            parts.ifmap_buffer.write_enable.eq(load.ifmap_write_enable),
            parts.ifmap_buffer.write_address.eq(load.ifmap_write_address),
            parts.parameter_memory.write_enable.eq(load.parameter_write_enable),
            parts.parameter_memory.write_address.eq(load.parameter_write_address),
            parts.parameter_memory.write_data.eq(load.parameter_write_data),
            parts.filter_buffer.write_enable.eq(load.filter_write_enable),
            parts.filter_buffer.write_data.eq(load.filter_write_data),
            parts.filter_buffer.write_advance.eq(load.filter_write_advance),
            parts.filter_buffer.give.eq(load.filter_give),
            parts.filter_buffer.reserve.eq(load.filter_reserve),
            load.filter_free.eq(parts.filter_buffer.free),
        ]
        m.d.comb += _each(parts.ifmap_buffer.write_data, load.ifmap_write_data)

    def _connect_filters(self, m: Module) -> None:
        """From the filter buffer to the array's filter scratchpads."""
        stage, filter_buffer, array = m.submodules.stage, m.submodules.filter_buffer, m.submodules.array
        m.d.comb += [
            filter_buffer.read_enable.eq(stage.filter_read_enable),
            filter_buffer.read_offset.eq(stage.filter_read_offset),
            filter_buffer.release.eq(stage.filter_release),
            stage.filter_level.eq(filter_buffer.level),
            array.filter_write.eq(stage.filter_write),
        ]
        m.d.comb += _each(array.filter_words, filter_buffer.read_data)

    def _connect_deliver(self, m: Module) -> None:
        """From the ifmap lanes to the array's ifmap scratchpads."""
        deliver, ifmap_buffer, array = m.submodules.deliver, m.submodules.ifmap_buffer, m.submodules.array
        for name in ("read_enable", "read_address", "read_next", "read_address_next"):
            m.d.comb += getattr(ifmap_buffer, name).eq(getattr(deliver, name))
        for name in ("delivery", "layer", "row_entry", "row_shift", "column_entry", "column_shift"):
            m.d.comb += getattr(array, name).eq(getattr(deliver, name))
        m.d.comb += deliver.takes.eq(array.takes)
        m.d.comb += _each(array.lane_words, ifmap_buffer.read_data)

    def _connect_mac(self, m: Module) -> None:
        """From mac to the array, and the psum chain's two ends to the psum banks."""
        parts = m.submodules
        mac, array, psum_banks = parts.mac, parts.array, parts.psum_banks
        m.d.comb += [
            parts.deliver.release_columns.eq(mac.release_columns),
            array.operation.eq(mac.operation),
            array.head_enable.eq(mac.head_enable),
            psum_banks.head_enable.eq(mac.head_read_enable),
            psum_banks.head_address.eq(mac.head_read_address),
            psum_banks.tail_enable.eq(mac.tail_enable),
            psum_banks.tail_address.eq(mac.tail_address),
        ]
        m.d.comb += _each(array.head_psums, psum_banks.data)
        m.d.comb += _each(psum_banks.tail_psums, array.tail_psums)

    def _connect_drain(self, m: Module) -> None:
        """From the psum banks and the parameter memory to drain."""
        drain, psum_banks, parameters = m.submodules.drain, m.submodules.psum_banks, m.submodules.parameter_memory
        m.d.comb += [
            psum_banks.drain_request.eq(drain.psum_request),
            psum_banks.drain_address.eq(drain.psum_address),
            drain.psum_ready.eq(psum_banks.drain_ready),
            parameters.read_enable.eq(drain.parameter_read_enable),
            parameters.read_address.eq(drain.parameter_read_address),
            drain.parameter.eq(parameters.read_data),
        ]
        m.d.comb += _each(drain.psums, psum_banks.data)


def _each(targets, sources) -> list:
    """Assign one array of ports to another."""
    return [target.eq(source) for target, source in zip(targets, sources, strict=True)]
