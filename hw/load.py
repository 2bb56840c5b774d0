"""Load engine: copies ifmaps, filters and parameters from DRAM into the machine's memories."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw import spec
from hw.config import AcceleratorConfig
from hw.layouts import PARAMETER, QUEUED_COMMAND, READ_REQUEST, counts_layout
from hw.load_request import LoadRequest
from hw.load_write import LoadWrite


class LoadEngine(wiring.Component):
    """Execute ``load.ifmap``, ``load.filter``, ``load.parameter`` and ``mark``.

    The request side runs ahead of the write side by up to four commands.

    Latency: first request one cycle after a command's start (``load.filter``: two); a beat is written in the cycle in
    which it comes. Throughput: one request and one beat a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command : In(stream of QUEUED_COMMAND)
        The queue; ready is the start condition.
    request : Out(stream of READ_REQUEST)
        Bursts wanted.
    data : In(stream of 64 bits)
        Their beats.
    ifmap_free_level, written_level, parameter_free_level : In(16)
        Tokens there are.
    ifmap_free_take, written_take, parameter_free_take : Out(16)
        Tokens taken in this cycle.
    ifmap_ready_give, parameter_ready_give : Out(16)
        Tokens given in this cycle.
    filter_free : In(16)
        Free words per filter lane.
    filter_reserve, filter_give : Out(8)
        Filter words per lane taken, and completed, in this cycle.
    ifmap_write_enable, ifmap_write_address, ifmap_write_data : Out(lanes), Out(12), Out(64) for each lane
        Write port of the ifmap buffer.
    filter_write_enable, filter_write_data, filter_write_advance : Out(rows), Out(64), Out(1)
        Write port of the filter buffer.
    parameter_write_enable, parameter_write_address, parameter_write_data : Out(1), Out(12), Out(PARAMETER)
        Write port of the parameter memory.
    counts : Out(counts_layout("load"))
        Increments in this cycle.
    capture : Out(1)
        Pulse: take load's snapshot.
    mark_free : In(1)
        Load's snapshot may be overwritten.
    halt : In(1)
        Start nothing.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(QUEUED_COMMAND)),
                "request": Out(stream.Signature(READ_REQUEST)),
                "data": In(stream.Signature(config.bus_bits)),
                "ifmap_free_level": In(spec.SEMAPHORE_BITS),
                "ifmap_free_take": Out(spec.SEMAPHORE_BITS),
                "written_level": In(spec.SEMAPHORE_BITS),
                "written_take": Out(spec.SEMAPHORE_BITS),
                "parameter_free_level": In(spec.SEMAPHORE_BITS),
                "parameter_free_take": Out(spec.SEMAPHORE_BITS),
                "ifmap_ready_give": Out(spec.SEMAPHORE_BITS),
                "parameter_ready_give": Out(spec.SEMAPHORE_BITS),
                "filter_free": In(16),
                "filter_reserve": Out(8),
                "filter_give": Out(8),
                "ifmap_write_enable": Out(config.lanes),
                "ifmap_write_address": Out(12),
                "ifmap_write_data": Out(config.bus_bits).array(config.lanes),
                "filter_write_enable": Out(config.rows),
                "filter_write_data": Out(config.bus_bits),
                "filter_write_advance": Out(1),
                "parameter_write_enable": Out(1),
                "parameter_write_address": Out(12),
                "parameter_write_data": Out(PARAMETER),
                "counts": Out(counts_layout("load")),
                "capture": Out(1),
                "mark_free": In(1),
                "halt": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.request_side = request_side = LoadRequest(config=self._config)
        m.submodules.write_side = write_side = LoadWrite(config=self._config)
        connect(m, request_side.started, write_side.command)
        connect(m, flipped(self.command), request_side.command)
        connect(m, request_side.request, flipped(self.request))
        connect(m, flipped(self.data), write_side.data)
        m.d.comb += [
            request_side.captured.eq(write_side.capture),
            request_side.ifmap_free_level.eq(self.ifmap_free_level),
            request_side.written_level.eq(self.written_level),
            request_side.parameter_free_level.eq(self.parameter_free_level),
            request_side.filter_free.eq(self.filter_free),
            request_side.mark_free.eq(self.mark_free),
            request_side.halt.eq(self.halt),
            self.ifmap_free_take.eq(request_side.ifmap_free_take),
            self.written_take.eq(request_side.written_take),
            self.parameter_free_take.eq(request_side.parameter_free_take),
            self.filter_reserve.eq(request_side.filter_reserve),
        ]
        self._connect_outputs(m, write_side)
        return m

    def _connect_outputs(self, m: Module, write_side: LoadWrite) -> None:
        m.d.comb += [
            self.ifmap_ready_give.eq(write_side.ifmap_ready_give),
            self.parameter_ready_give.eq(write_side.parameter_ready_give),
            self.filter_give.eq(write_side.filter_give),
            self.ifmap_write_enable.eq(write_side.ifmap_write_enable),
            self.ifmap_write_address.eq(write_side.ifmap_write_address),
            self.filter_write_enable.eq(write_side.filter_write_enable),
            self.filter_write_data.eq(write_side.filter_write_data),
            self.filter_write_advance.eq(write_side.filter_write_advance),
            self.parameter_write_enable.eq(write_side.parameter_write_enable),
            self.parameter_write_address.eq(write_side.parameter_write_address),
            self.parameter_write_data.eq(write_side.parameter_write_data),
            self.counts.eq(write_side.counts),
            self.capture.eq(write_side.capture),
        ]
        m.d.comb += [mine.eq(its) for mine, its in zip(self.ifmap_write_data, write_side.ifmap_write_data, strict=True)]
