"""One row of the PE array: what its PEs have in common."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.layouts import COLUMN_ENTRY, DELIVERY_LAYER, ROW_ENTRY, delivery_layout, operation_layout
from hw.pe import ProcessingElement, accumulate_layout, filter_address_bits, least_activation, row_delivery_layout


def filter_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of a filter scratchpad write; ``columns`` is a mask, the top bit of ``address`` the half."""
    return data.StructLayout(
        {
            "enable": unsigned(1),
            "address": unsigned(filter_address_bits(config)),
            "columns": unsigned(config.cols),
        }
    )


class RowDelivery(wiring.Component):
    """Follow the deliveries and take those that belong to this row's next slot.

    Latency: ``takes`` in the same cycle, ``taken`` in the next. Throughput: one delivery a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    entry : In(ROW_ENTRY)
        (filter row, channel) of slot 0 and number of slots.
    layer : In(DELIVERY_LAYER)
        What deliveries have in common.
    delivery, lane_words : In
        The delivery and the lanes' words.
    takes : Out(1)
        Whether the row takes this delivery.
    taken : Out(row_delivery_layout(config))
        The delivery as the row's PEs need it.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "entry": In(ROW_ENTRY),
                "layer": In(DELIVERY_LAYER),
                "delivery": In(delivery_layout(config)),
                "lane_words": In(config.bus_bits).array(config.lanes),
                "takes": Out(1),
                "taken": Out(row_delivery_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The slot that comes next: its (filter row, channel), slots left with it, ifmap scratchpad address of its ring.
        slot_layout = data.StructLayout({**ROW_ENTRY.members, "address": self.taken.address.shape()})
        state = Signal(slot_layout)
        start = Signal(slot_layout)
        current = Signal(slot_layout)
        following = Signal(slot_layout)
        channel_bits = exact_log2(self._config.channel_block)
        m.d.comb += [
            start.filter_row.eq(self.entry.filter_row),
            start.channel.eq(self.entry.channel),
            start.slots.eq(self.entry.slots),
            current.eq(Mux(self.delivery.restart, start, state)),
            self.takes.eq(
                self.delivery.valid & (current.slots != 0) & (current.channel[channel_bits:] == self.delivery.block)
            ),
        ]
        self._advance(m, current, following)
        with m.If(self.delivery.valid):
            m.d.sync += state.eq(Mux(self.takes, following, current))
        self._take(m, current, current.channel[:channel_bits])
        return m

    def _advance(self, m: Module, current: data.View, following: data.View) -> None:
        filter_row = Signal(9)
        carry = Signal()
        m.d.comb += [
            filter_row.eq(current.filter_row + self.layer.step_row),
            carry.eq(filter_row >= self.layer.filter_rows),
            following.filter_row.eq(Mux(carry, filter_row - self.layer.filter_rows, filter_row)),
            following.channel.eq(current.channel + self.layer.step_channel + carry),
            following.slots.eq(current.slots - 1),
            following.address.eq(current.address + self.layer.ring_columns),
        ]

    def _take(self, m: Module, current: data.View, channel: Value) -> None:
        m.d.sync += self.taken.take.eq(self.takes)
        with m.If(self.takes):
            m.d.sync += [
                self.taken.first_window.eq(self.delivery.first_window),
                self.taken.pad_column.eq(self.delivery.pad_column),
                self.taken.run.eq(self.delivery.run),
                self.taken.window_row.eq(self.delivery.window_row),
                self.taken.filter_row.eq(current.filter_row),
                self.taken.address.eq(self.delivery.position + current.address),
            ]
            m.d.sync += self.taken.activations.eq(Cat(self._activation(word, channel) for word in self.lane_words))

    def _activation(self, word: Value, channel: Value) -> Value:
        raw = word.word_select(channel, self._config.activation_bits).as_signed()
        return (raw - self.layer.zero_point)[: self._config.operand_bits]


class PERow(wiring.Component):
    """A row of PEs with what they share of the operation pipeline and of the deliveries.

    Latency: the operands of an operation presented in cycle t are read in t, multiplied in t + 1 and accumulated in
    t + 2, where ``chain_i`` is used; ``chain_o`` follows in t + 3. Filter words and deliveries are registered once and
    written into the scratchpads one cycle later. Throughput: one operation, one delivery and one filter word a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    operation : In(operation_layout(config))
        Operation; bit 0 of ``active`` is this row.
    filter_write, filter_word : In
        Filter scratchpad write, presented to all rows, and the word of this row's filter lane.
    delivery, lane_words, layer : In
        The delivery, the lanes' words and what deliveries have in common.
    takes : Out(1)
        Whether this row takes the delivery.
    entry, columns : In(ROW_ENTRY), In(COLUMN_ENTRY).array(cols)
        The row's entry of the row table and the column table.
    chain_i, chain_o : In, Out(signed(psum_bits)).array(cols)
        Psum chain.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "operation": In(operation_layout(config)),
                "filter_write": In(filter_write_layout(config)),
                "filter_word": In(config.bus_bits),
                "delivery": In(delivery_layout(config)),
                "lane_words": In(config.bus_bits).array(config.lanes),
                "layer": In(DELIVERY_LAYER),
                "takes": Out(1),
                "entry": In(ROW_ENTRY),
                "columns": In(COLUMN_ENTRY).array(config.cols),
                "chain_i": In(signed(config.psum_bits)).array(config.cols),
                "chain_o": Out(signed(config.psum_bits)).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pes = [ProcessingElement(config=self._config) for _ in range(self._config.cols)]
        for column, pe in enumerate(pes):
            m.submodules[f"pe_{column}"] = pe
            m.d.comb += [
                pe.column.eq(self.columns[column]),
                pe.chain_i.eq(self.chain_i[column]),
                self.chain_o[column].eq(pe.chain_o),
            ]
        self._operate(m, pes)
        self._write_filters(m, pes)
        self._deliver(m, pes)
        return m

    def _operate(self, m: Module, pes: list[ProcessingElement]) -> None:
        layout = accumulate_layout(self._config)
        multiply = Signal(layout)
        accumulate = Signal(layout)
        weight_index = Signal(exact_log2(self._config.weights_per_word))
        active = Signal()
        identity = Signal(signed(self._config.activation_bits))
        m.d.sync += [multiply[name].eq(self.operation[name]) for name in layout.members]
        m.d.sync += [
            weight_index.eq(self.operation.filter_address),
            active.eq(self.operation.active[0]),
            accumulate.eq(multiply),
        ]
        m.d.comb += identity.eq(Mux(multiply.maximum, least_activation(self._config), 0))
        for pe in pes:
            m.d.comb += [
                pe.operation.eq(self.operation),
                pe.weight_index.eq(weight_index),
                pe.active.eq(active),
                pe.identity.eq(identity),
                pe.accumulate.eq(accumulate),
            ]

    def _write_filters(self, m: Module, pes: list[ProcessingElement]) -> None:
        write = Signal(filter_write_layout(self._config))
        word = Signal(self._config.bus_bits)
        m.d.sync += [write.eq(self.filter_write), word.eq(self.filter_word)]
        for column, pe in enumerate(pes):
            m.d.comb += [
                pe.filter_write.eq(write.enable & write.columns[column]),
                pe.filter_write_address.eq(write.address),
                pe.filter_word.eq(word),
            ]

    def _deliver(self, m: Module, pes: list[ProcessingElement]) -> None:
        m.submodules.row_delivery = row_delivery = RowDelivery(config=self._config)
        m.d.comb += [
            row_delivery.entry.eq(self.entry),
            row_delivery.layer.eq(self.layer),
            row_delivery.delivery.eq(self.delivery),
            self.takes.eq(row_delivery.takes),
        ]
        m.d.comb += [inner.eq(word) for inner, word in zip(row_delivery.lane_words, self.lane_words, strict=True)]
        for pe in pes:
            m.d.comb += [pe.delivery.eq(row_delivery.taken), pe.pad_value.eq(self.layer.pad_value)]
