"""Turns plans into commands: tokens, filter buffer, parameter memory, and the order that keeps the engines busy.

The order obeys one rule, which excludes deadlock: a command waits only for what earlier commands of the program give
(the one exception, filters that do not fit the filter buffer at once, follow their pass immediately).
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.plan import PsumSlots
from golden.engine_model import Fields
from hw import spec
from hw.config import AcceleratorConfig


@dataclass
class Budget:
    """Tokens that came back from one taker: how many things were opened and how many returns were waited for."""

    opened: int = 0
    waited: int = 0

    def open(self, at_once: int) -> int:
        """Open one more with ``at_once`` places; return how many returns must be waited for before."""
        wait = max(0, self.opened - self.waited - (at_once - 1))
        self.waited += wait
        self.opened += 1
        return wait

    def settle(self) -> int:
        """Return how many returns must be waited for until all are back."""
        wait = self.opened - self.waited
        self.waited = self.opened
        return wait


@dataclass
class Written:
    """Strips of one feature map in the order drain acknowledges them: (token number, images, rows)."""

    strips: list[tuple[int, range, range]]

    def needed(self, images: range, rows: range) -> int:
        """Return the token number after which these rows of these images are complete."""
        overlapping = (
            number
            for number, strip_images, strip_rows in self.strips
            if strip_images.start < images.stop
            and images.start < strip_images.stop
            and strip_rows.start < rows.stop
            and rows.start < strip_rows.stop
        )
        return max(overlapping, default=0)


class Emitter:
    """Collects a program's commands, layer after layer.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.commands: list[tuple[str, Fields]] = []
        self.command_layers: list[int] = []
        self._layer_index = 0
        self._regions, self._psums, self._parameters = Budget(), Budget(), Budget()
        self._regions_at_once = 1
        self._psum_slots: PsumSlots | None = None
        self._written_given = 0
        self._written_waited = 0
        self._execute_layer: Fields = {}
        self._drain_layer: Fields = {}
        self._half = 0

    def emit(self, command: str, **fields: int) -> None:
        """Append a command; its fields are checked against the contract."""
        spec.COMMAND[command].encode(fields)
        self.commands.append((command, fields))
        self.command_layers.append(self._layer_index)

    def mark(self, address: int, *, last: bool) -> None:
        """End a layer."""
        self.emit("mark", dram_address=address, last=int(last))
        self._layer_index += 1

    def wait_written(self, number: int) -> int:
        """Return how many ``written`` tokens to wait for until token ``number`` has been given."""
        wait = max(0, number - self._written_waited)
        self._written_waited += wait
        return wait

    def give_written(self) -> int:
        """Return the number of the next ``written`` token."""
        self._written_given += 1
        return self._written_given

    @property
    def strips_opened(self) -> int:
        """Strips that got a place in the psum banks so far."""
        return self._psums.opened

    @property
    def regions_opened(self) -> int:
        """Ifmap regions opened so far."""
        return self._regions.opened

    def open_region(self, at_once: int) -> int:
        """Return how many ``ifmap_free`` tokens a new region waits for, of which there may be ``at_once``."""
        places = min(at_once, self._regions_at_once)
        self._regions_at_once = at_once
        return self._regions.open(places)

    def open_psums(self, slots: PsumSlots) -> int:
        """Return how many ``psum_free`` tokens a new strip waits for."""
        if slots != self._psum_slots:
            self._psum_slots = slots
            wait = self._psums.settle()
            self._psums.opened += 1
            return wait
        return self._psums.open(slots.count)

    def open_parameters(self, address: int, channels: int) -> int:
        """Load parameters into the half of the memory that is not in use; return their first entry."""
        entry = self._half * (self.config.parameter_words // 2)
        self._half ^= 1
        wait = self._parameters.open(2)
        self.emit("load.parameter", wait_parameter_free=wait, dram_address=address, channels=channels, entry=entry)
        return entry

    def configure_execute(self, fields: Fields) -> None:
        """Emit ``execute.layer`` unless it says what the one before said."""
        if fields != self._execute_layer:
            self._execute_layer = fields
            self.emit("execute.layer", **fields)

    def configure_drain(self, fields: Fields) -> None:
        """Emit ``drain.layer`` unless it says what the one before said."""
        if fields != self._drain_layer:
            self._drain_layer = fields
            self.emit("drain.layer", **fields)
