"""The processing element: three scratchpads, a multiplier and one link of the psum chain."""

from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory, ReadPort, WritePort
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from hw.config import AcceleratorConfig
from hw.layouts import COLUMN_ENTRY, operation_layout


def filter_address_bits(config: AcceleratorConfig) -> int:
    """Return the bits of a filter scratchpad word address; the top bit is the half."""
    return bits_for(2 * config.filter_spad_words // config.weights_per_word - 1)


def least_activation(config: AcceleratorConfig) -> int:
    """Return the least activation, which is the identity of the maximum."""
    return -(1 << (config.activation_bits - 1))


def accumulate_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of what an operation does to the psum scratchpad and the chain."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "first": unsigned(1),
            "emit": unsigned(1),
            "maximum": unsigned(1),
            "psum_address": unsigned(bits_for(config.psum_spad_words - 1)),
        }
    )


def row_delivery_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of a PE row's delivery: what the row took from the lanes and where its PEs write it.

    ``activations`` holds one activation of ``operand_bits`` per lane, zero point subtracted; the other fields are those
    of the array's delivery, for the slot that the row fills.
    """
    return data.StructLayout(
        {
            "take": unsigned(1),
            "first_window": unsigned(1),
            "pad_column": unsigned(1),
            "run": unsigned(1),
            "filter_row": unsigned(8),
            "window_row": signed(14),
            "address": unsigned(bits_for(config.ifmap_spad_words - 1)),
            "activations": unsigned(config.lanes * config.operand_bits),
        }
    )


class ProcessingElement(wiring.Component):
    """Multiply weights and activations from the scratchpads and accumulate the products in psums.

    Latency: a read in cycle t is multiplied in t + 1 and accumulated in t + 2; a psum emitted there is in ``chain_o``
    in t + 3. A delivery and a filter word can be read from the cycle after they are presented.
    Throughput: one operation, one delivery and one filter word a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    filter_write, filter_write_address, filter_word : In
        Write a bus word of weights, lowest byte first, into the filter scratchpad.
    column : In(COLUMN_ENTRY)
        Which ifmap rows this PE's column works on.
    delivery : In(row_delivery_layout(config))
        Activations of all lanes; the PE writes the one of its ifmap row, if it is there.
    pad_value : In(signed(operand_bits))
        Written instead of an activation where the ifmap is padded.
    operation : In(operation_layout(config))
        In t: which operands to read.
    weight_index, active, identity : In
        In t + 1: which weight of the word; whether to multiply or to take ``identity`` as the product.
    accumulate : In(accumulate_layout(config))
        In t + 2: what to do with the product, and whether the psum leaves into the chain.
    chain_i : In(signed(psum_bits))
        Psum from the row above (cycle t + 2).
    chain_o : Out(signed(psum_bits))
        Combined with this PE's psum (cycle t + 3); held while nothing is emitted.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "filter_write": In(1),
                "filter_write_address": In(filter_address_bits(config)),
                "filter_word": In(config.bus_bits),
                "column": In(COLUMN_ENTRY),
                "delivery": In(row_delivery_layout(config)),
                "pad_value": In(signed(config.operand_bits)),
                "operation": In(operation_layout(config)),
                "weight_index": In(exact_log2(config.weights_per_word)),
                "active": In(1),
                "identity": In(signed(config.activation_bits)),
                "accumulate": In(accumulate_layout(config)),
                "chain_i": In(signed(config.psum_bits)),
                "chain_o": Out(signed(config.psum_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, activation = self._filter_scratchpad(m), self._ifmap_scratchpad(m)
        weight = word.word_select(self.weight_index, self._config.weight_bits).as_signed()
        product = Signal(signed(self._config.operand_bits + self._config.weight_bits))
        m.d.sync += product.eq(Mux(self.active, activation * weight, self.identity))
        self._accumulate(m, product)
        return m

    def _scratchpad(
        self, m: Module, name: str, *, shape: Shape, depth: int, read_domain: str = "sync"
    ) -> tuple[WritePort, ReadPort]:
        m.submodules[name] = memory = Memory(shape=shape, depth=depth, init=[])
        return memory.write_port(), memory.read_port(domain=read_domain)

    def _read_enable(self) -> Value:
        return self.operation.valid & self.operation.active[0]

    def _filter_scratchpad(self, m: Module) -> Value:
        half_words = self._config.filter_spad_words // self._config.weights_per_word
        depth = (1 << (filter_address_bits(self._config) - 1)) + half_words
        write, read = self._scratchpad(m, "filter_scratchpad", shape=unsigned(self._config.bus_bits), depth=depth)
        m.d.comb += [
            write.en.eq(self.filter_write),
            write.addr.eq(self.filter_write_address),
            write.data.eq(self.filter_word),
            read.en.eq(self._read_enable()),
            read.addr.eq(self.operation.filter_address[exact_log2(self._config.weights_per_word) :]),
        ]
        return read.data

    def _ifmap_scratchpad(self, m: Module) -> Value:
        write, read = self._scratchpad(
            m, "ifmap_scratchpad", shape=signed(self._config.operand_bits), depth=self._config.ifmap_spad_words
        )
        lane_bits = exact_log2(self._config.lanes)
        column, delivery = self.column, self.delivery
        row = Signal(signed(15))
        relative = Signal(signed(16))
        padding = Signal()
        in_window = Signal()
        lane = delivery.activations.word_select(row[:lane_bits], self._config.operand_bits).as_signed()
        m.d.comb += [
            row.eq(column.first_row + delivery.filter_row),
            relative.eq(row - delivery.window_row),
            padding.eq(
                delivery.pad_column | (delivery.filter_row < column.top) | (delivery.filter_row >= column.bottom)
            ),
            # Upper bits that are zero mean 0 <= relative < lanes: those of a negative number are ones.
            in_window.eq((delivery.run == column.run) & (relative[lane_bits:] == 0)),
            write.en.eq(delivery.take & column.valid & Mux(padding, delivery.first_window, in_window)),
            write.addr.eq(delivery.address),
            write.data.eq(Mux(padding, self.pad_value, lane)),
            read.en.eq(self._read_enable()),
            read.addr.eq(self.operation.ifmap_address),
        ]
        return read.data

    def _accumulate(self, m: Module, product: Signal) -> None:
        write, read = self._scratchpad(
            m,
            "psum_scratchpad",
            shape=signed(self._config.psum_bits),
            depth=self._config.psum_spad_words,
            read_domain="comb",
        )
        old, maximum = read.data, self.accumulate.maximum
        combined = Mux(maximum, Mux(product > old, product, old), old + product)
        chained = Mux(maximum, Mux(self.chain_i > old, self.chain_i, old), old + self.chain_i)
        m.d.comb += [
            read.addr.eq(self.accumulate.psum_address),
            write.en.eq(self.accumulate.valid),
            write.addr.eq(self.accumulate.psum_address),
            write.data.eq(Mux(self.accumulate.first, product, combined)),
        ]
        with m.If(self.accumulate.emit):
            m.d.sync += self.chain_o.eq(chained)
