"""A program as vectors: what the timing core and the counters take from its commands."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np

from hw import spec

#: Opcodes.
IFMAP, PARAMETER, LAYER, PASS, STRIP, RESIDUAL, MARK = (
    spec.COMMAND[name].opcode
    for name in (
        *("load.ifmap", "load.parameter", "execute.layer", "execute.pass", "drain.strip", "drain.residual"),
        "mark",
    )
)
#: Where every row of an engine's commands has the opcode.
KIND = 0

#: The fields that say when something happens, or how often.
_FIELDS: dict[str, tuple[str, ...]] = {
    "load.ifmap": (
        *("wait_ifmap_free", "wait_written", "signal_ifmap_ready", "dram_address", "block_stride", "column_stride"),
        *("blocks", "columns", "column_beats", "pixels_log2"),
    ),
    "load.filter": ("dram_address", "items", "words", "lanes"),
    "load.parameter": ("wait_parameter_free", "dram_address", "channels"),
    "execute.layer": (
        *("depthwise", "pool", "filter_columns", "stride_columns", "filters", "ring_columns", "ifmap_columns"),
    ),
    "execute.pass": (
        *("wait_ifmap_ready", "wait_psum_free", "signal_ifmap_free", "signal_psum_ready", "slots", "active_rows"),
        *("last_rows", "blocks", "first_operations", "middle_operations", "last_operations", "strip_columns"),
        *("run_rows", "wrap_rows", "ifmap_column", "columns", "first", "flush", "reuse_filters", "keep_last_group"),
        *("release_filters", "filter_words", "groups"),
    ),
    "drain.layer": ("column_stride", "block_stride", "image_stride", "rows", "images", "psums"),
    "drain.strip": (
        *("wait_psum_ready", "wait_parameter_ready", "signal_psum_free", "signal_parameter_free", "signal_written"),
        *("group_address", "row", "image", "strip_columns", "columns", "channel_offset", "channels"),
    ),
    "drain.residual": ("enable", "address_offset"),
    "mark": ("last",),
}
#: Which command sets what commands of another kind have in common.
_LAYERS = {"execute.pass": "execute.layer", "drain.strip": "drain.layer"}


class Table:
    """A program's commands by kind.

    Parameters
    ----------
    commands : sequence of (command name, fields)
        The program.

    Members
    -------
    kinds : array
        Opcode of each command.
    """

    def __init__(self, commands: Sequence[tuple[str, Mapping[str, int]]]) -> None:
        self.commands = commands
        opcodes = {name: command.opcode for name, command in spec.COMMAND.items()}
        self.kinds = np.fromiter((opcodes[name] for name, _ in commands), np.int64, len(commands))
        fields: dict[str, list[Mapping[str, int]]] = {name: [] for name in _FIELDS}
        for name, values in commands:
            fields[name].append(values)
        self._columns = {name: _columns(_FIELDS[name], rows) for name, rows in fields.items()}
        self._places = {name: np.flatnonzero(self.kinds == opcode) for name, opcode in opcodes.items()}

    def places(self, name: str) -> np.ndarray:
        """Return where in the program the commands of a kind are."""
        return self._places[name]

    def field(self, name: str, field: str) -> np.ndarray:
        """Return a field of the commands of a kind, in program order."""
        return self._columns[name][field]

    def layer_field(self, name: str, field: str) -> np.ndarray:
        """Return a field of the layer of each pass (``execute.pass``) or each strip (``drain.strip``).

        Raises
        ------
        ValueError
            If one comes before the first layer.
        """
        layer = _LAYERS[name]
        index = np.searchsorted(self._places[layer], self._places[name]) - 1
        if len(index) and index[0] < 0:
            raise ValueError(f"command {name} needs a command {layer} before it")
        return self._columns[layer][field][index]

    def of_engine(self, engine: str) -> np.ndarray:
        """Return where in the program the commands of an engine's queue are."""
        opcodes = [command.opcode for command in spec.COMMANDS if engine in command.engines]
        return np.flatnonzero(np.isin(self.kinds, opcodes))

    def rows(self, engine: str, width: int, values: Mapping[str, Mapping[int, np.ndarray | int]]) -> np.ndarray:
        """Return ``width`` integers for each command of an engine: the opcode at :data:`KIND`, and ``values``.

        Those are by the commands' kind and the place in the row; all others are zero.
        """
        places = self.of_engine(engine)
        rows = np.zeros((len(places), width), np.int64)
        rows[:, KIND] = self.kinds[places]
        for name, columns in values.items():
            at = np.searchsorted(places, self._places[name])
            for column, value in columns.items():
                rows[at, column] = value
        return rows


def _columns(names: tuple[str, ...], rows: Sequence[Mapping[str, int]]) -> dict[str, np.ndarray]:
    get = itemgetter(*names)
    values = itertools.chain.from_iterable(map(get, rows)) if len(names) > 1 else map(get, rows)
    table = np.fromiter(values, np.int64, len(names) * len(rows)).reshape(-1, len(names))
    return dict(zip(names, table.T, strict=True))
