"""Turns plans into commands: tokens, filter buffer, parameter memory, and the order that keeps the engines busy.

The order obeys one rule, which excludes deadlock: a command waits only for what earlier commands of the program give
(the one exception, filters that do not fit the filter buffer at once, follow their pass immediately).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from compiler.encoding import check
from compiler.mapping import MAXIMUM_STRIPS
from compiler.memory import FeatureMap
from compiler.rings import Ring
from golden.engine_model import Fields
from hw import spec
from hw.config import AcceleratorConfig

#: Ifmap regions in the lanes at once: what a command's token field can count.
MAXIMUM_REGIONS = next(f.maximum for f in spec.COMMAND["load.ifmap"].fields if f.name == "wait_ifmap_free")
#: What the machine starts with, and what turns residuals off.
NO_RESIDUAL: Fields = {field.name: 0 for field in spec.COMMAND["drain.residual"].fields}


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


class Written:
    """Which strip of a feature map is the last to write a row of a channel block, by the number of its token.

    Parameters
    ----------
    target : FeatureMap
        The feature map.
    """

    def __init__(self, target: FeatureMap) -> None:
        self._last = np.zeros((target.images, target.blocks, target.shape[0]), np.int64)
        self._latest = [0]  # of all, shared with what is a part of this

    @property
    def latest(self) -> int:
        """Number of the last token so far; of a part, that of the whole."""
        return self._latest[0]

    def part(self, first_block: int, blocks: int) -> Written:
        """Return the same for some channel blocks; what is recorded there is known here."""
        part = copy.copy(self)
        part._last = self._last[:, first_block : first_block + blocks]
        return part

    def record(self, number: int, images: range, blocks: range, rows: range) -> None:
        """Token ``number``, greater than those before, says that these rows of these blocks are written."""
        self._last[images.start : images.stop, blocks.start : blocks.stop, rows.start : rows.stop] = number
        self._latest[0] = number

    def needed(self, image: int, blocks: range, rows: range) -> int:
        """Return the token number after which these rows of these blocks of an image are complete."""
        return int(self._last[image, blocks.start : blocks.stop, rows.start : rows.stop].max(initial=0))


class Emitter:
    """Collects a program's commands, layer after layer.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    commands : list of (command name, fields)
        So far; :meth:`mark` sees to it that the fields fit the contract.
    lanes, psums : Ring
        Places in the ifmap lanes and the psum banks.
    written_waited : int
        ``written`` tokens that loads have waited for so far.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.commands: list[tuple[str, Fields]] = []
        self._marks: list[int] = []  # commands up to and with each mark
        self.lanes = Ring(words=config.ifmap_lane_words, tenants=MAXIMUM_REGIONS)
        self.psums = Ring(words=config.psum_bank_words, tenants=MAXIMUM_STRIPS)
        self._parameters = Budget()
        self._written_given = 0
        self.written_waited = 0
        self._execute_layer: Fields = {}
        self._drain_layer: Fields = {}
        self._drain_residual: Fields = NO_RESIDUAL
        self._half = 0

    @property
    def command_layers(self) -> tuple[int, ...]:
        """For each command how many marks come before it."""
        counts = np.diff([0, *self._marks, len(self.commands)])
        return tuple(np.repeat(np.arange(len(counts)), counts).tolist())

    def emit(self, command: str, fields: Fields) -> None:
        """Append a command."""
        self.commands.append((command, fields))

    def mark(self, address: int, *, last: bool) -> None:
        """End a layer.

        Raises
        ------
        SpecError
            If a field of one of its commands does not fit the contract.
        """
        self.emit("mark", {"dram_address": address, "last": int(last)})
        check(self.commands[self._marks[-1] if self._marks else 0 :])
        self._marks.append(len(self.commands))

    def wait_written(self, number: int) -> int:
        """Return how many ``written`` tokens to wait for until token ``number`` has been given."""
        wait = max(0, number - self.written_waited)
        self.written_waited += wait
        return wait

    def give_written(self) -> int:
        """Return the number of the next ``written`` token."""
        self._written_given += 1
        return self._written_given

    def open_parameters(self, address: int, channels: int) -> int:
        """Load parameters into the half of the memory that is not in use; return their first entry."""
        entry = self._half * (self.config.parameter_words // 2)
        self._half ^= 1
        wait = self._parameters.open(2)
        fields = {"wait_parameter_free": wait, "dram_address": address, "channels": channels, "entry": entry}
        self.emit("load.parameter", fields)
        return entry

    def configure_execute(self, fields: Fields) -> None:
        """Emit ``execute.layer`` unless it says what the one before said."""
        if fields != self._execute_layer:
            self._execute_layer = fields
            self.emit("execute.layer", fields)

    def configure_drain(self, fields: Fields) -> None:
        """Emit ``drain.layer`` unless it says what the one before said."""
        if fields != self._drain_layer:
            self._drain_layer = fields
            self.emit("drain.layer", fields)

    def configure_residual(self, fields: Fields | None) -> None:
        """Emit ``drain.residual`` unless it says what the one before said; None turns it off."""
        fields = NO_RESIDUAL if fields is None else fields
        if fields != self._drain_residual:
            self._drain_residual = fields
            self.emit("drain.residual", fields)
