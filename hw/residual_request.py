"""Drain's requests for residual beats, and the blocks that wait to be read."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw import spec
from hw.axi import PAGE_BYTES
from hw.config import AcceleratorConfig
from hw.drain_walker import block_layout
from hw.layouts import READ_REQUEST

BLOCKS_AHEAD = 16
"""Blocks that wait to be read."""


class ResidualRequest(wiring.Component):
    """Pass blocks on through a FIFO; while enabled, each after its residual beats have been asked for.

    A block's residual beats lie ``address_offset`` bytes behind its own. They are one burst, or two if they cross a
    4 KiB border. They are asked for only if the residual FIFO will have room for all of them.

    Latency: one cycle. Throughput: a block a cycle, with residuals a burst a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    enable, address_offset : In(1), In(32)
        Whether blocks have residual beats, and where; constant while there are blocks.
    index : In(24)
        Command that the blocks belong to.
    walked : In(stream of block_layout(config))
        Blocks.
    request : Out(stream of READ_REQUEST)
        Bursts of residual beats; ``valid`` does not depend on ``ready`` and stays until then.
    beat_taken : In(1)
        A residual beat leaves the residual FIFO.
    blocks : Out(stream of block_layout(config))
        The same blocks.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                "enable": In(1),
                "address_offset": In(32),
                "index": In(spec.COMMAND_INDEX_BITS),
                "walked": In(stream.Signature(block_layout(config))),
                "request": Out(stream.Signature(READ_REQUEST)),
                "beat_taken": In(1),
                "blocks": Out(stream.Signature(block_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fifo = SyncFIFO(width=block_layout(self._config).size, depth=BLOCKS_AHEAD)
        m.submodules.fifo = fifo
        last_accepted = self._ask(m, fifo.w_rdy)
        may_pass = ~self.enable | last_accepted
        m.d.comb += [
            fifo.w_data.eq(self.walked.payload),
            fifo.w_en.eq(self.walked.valid & may_pass),
            self.walked.ready.eq(fifo.w_rdy & may_pass),
            self.blocks.payload.eq(fifo.r_data),
            self.blocks.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.blocks.ready),
        ]
        return m

    def _ask(self, m: Module, room: Value) -> Value:
        """Drive the request for the block at hand; return whether its last burst is accepted now."""
        request, columns, beats = self.request, self.walked.payload.columns, self._config.residual_fifo_beats
        credits_left = Signal(range(beats + 1), init=beats)
        second = Signal()
        rest = Signal.like(columns)
        second_address = Signal(32)
        address = Signal(32)
        to_border = self._beats_to_border(address)
        crosses = to_border < columns
        accepted = request.valid & request.ready
        m.d.comb += [
            address.eq(self.walked.payload.address + self.address_offset),
            request.valid.eq(self.enable & self.walked.valid & (second | (room & (credits_left >= columns)))),
            request.payload.index.eq(self.index),
            request.payload.address.eq(Mux(second, second_address, address)),
            request.payload.beats.eq(Mux(second, rest, Mux(crosses, to_border, columns))),
        ]
        m.d.sync += credits_left.eq(credits_left - Mux(accepted & ~second, columns, 0) + self.beat_taken)
        with m.If(accepted):
            m.d.sync += [
                second.eq(crosses & ~second),
                rest.eq(columns - to_border),
                second_address.eq(address + (to_border << bits_for(self._config.bus_bytes - 1))),
            ]
        return accepted & (second | ~crosses)

    def _beats_to_border(self, address: Signal) -> Value:
        """Beats from ``address`` to the next 4 KiB border."""
        words = PAGE_BYTES // self._config.bus_bytes
        return words - address[bits_for(self._config.bus_bytes - 1) : bits_for(PAGE_BYTES - 1)]
