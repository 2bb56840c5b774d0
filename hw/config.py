"""The parameters of one machine: checked, with every derived width in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass


class ConfigError(ValueError):
    """A configuration that cannot be built; the message names field, value and what is allowed."""


#: Least and greatest value of the integer fields.
RANGES: dict[str, tuple[int, int]] = {
    "rows": (2, 64),
    "cols": (1, 64),
    "lanes": (8, 64),
    "ifmap_lane_words": (16, 4096),
    "psum_bank_words": (16, 4096),
    "filter_lane_words": (8, 4096),
    "filter_spad_words": (8, 2048),
    "ifmap_spad_words": (4, 256),
    "psum_spad_words": (1, 32),
    "parameter_words": (8, 4096),
    "psum_bits": (24, 32),
    "drain_width": (1, 16),
    "drain_fifo_beats": (16, 256),
    "residual_fifo_beats": (16, 1024),
    "queue_depth": (2, 64),
    "burst_beats": (4, 256),
    "outstanding_reads": (1, 64),
    "outstanding_writes": (1, 64),
}
#: Fields that must be powers of two as well.
POWERS_OF_TWO = ("lanes", "drain_fifo_beats", "residual_fifo_beats", "queue_depth", "burst_beats")
#: Values of the fields that have only a few.
CHOICES: dict[str, tuple[int, ...]] = {
    "activation_bits": (8, 16),
    "weight_bits": (8,),
    "bus_bits": (64,),
    "address_bits": (32,),
}


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """Everything that distinguishes one Eyas machine from another.

    Parameters
    ----------
    name : str
        Name of the configuration, used for output folders.
    rows, cols : int
        PE array size (Eyeriss: 12 x 14).
    lanes : int
        Ifmap banks; ifmap row ``h`` of a tile lives in lane ``h % lanes``. A power of two.
    ifmap_lane_words : int
        Words of ``bus_bits`` per ifmap lane.
    psum_bank_words : int
        Psums per psum bank; there is one bank per PE column.
    filter_lane_words : int
        Words of ``bus_bits`` per filter lane; there is one lane per PE row.
    filter_spad_words : int
        Weights in each of the two halves of a PE's filter scratchpad; a multiple of the weights per bus word.
    ifmap_spad_words : int
        Activations in a PE's ifmap scratchpad.
    psum_spad_words : int
        Psums in a PE's psum scratchpad.
    parameter_words : int
        Channels whose bias, multiplier and shift fit in the parameter memory.
    activation_bits, weight_bits, psum_bits : int
        Operand widths.
    bus_bits, address_bits : int
        AXI4 data and address width.
    drain_width : int
        Psums requantised per cycle.
    drain_fifo_beats : int
        Ofmap beats buffered between requantisation and the bus; a power of two.
    residual_fifo_beats : int
        Beats of a second feature map read ahead of its addition; a power of two.
    queue_depth : int
        Commands buffered per engine; a power of two.
    burst_beats : int
        Longest AXI4 burst; a power of two.
    outstanding_reads, outstanding_writes : int
        AXI4 bursts in flight.
    counters : bool
        Whether the performance counters are built.

    Raises
    ------
    ConfigError
        If a field is out of range or two fields contradict each other.
    """

    name: str
    rows: int
    cols: int
    lanes: int = 16
    ifmap_lane_words: int = 256
    psum_bank_words: int = 512
    filter_lane_words: int = 128
    filter_spad_words: int = 256
    ifmap_spad_words: int = 64
    psum_spad_words: int = 32
    parameter_words: int = 256
    activation_bits: int = 8
    weight_bits: int = 8
    psum_bits: int = 32
    bus_bits: int = 64
    address_bits: int = 32
    drain_width: int = 8
    drain_fifo_beats: int = 32
    residual_fifo_beats: int = 128
    queue_depth: int = 8
    burst_beats: int = 16
    outstanding_reads: int = 16
    outstanding_writes: int = 16
    counters: bool = True

    def __post_init__(self) -> None:
        for field, (low, high) in RANGES.items():
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ConfigError(f"{field} must be an integer from {low} to {high}, not {value!r}")
        for field in POWERS_OF_TWO:
            value = getattr(self, field)
            if value & (value - 1):
                raise ConfigError(f"{field} must be a power of two, not {value!r}")
        for field, allowed in CHOICES.items():
            value = getattr(self, field)
            if value not in allowed or isinstance(value, bool):
                raise ConfigError(f"{field} must be one of {', '.join(map(str, allowed))}, not {value!r}")
        if not isinstance(self.counters, bool):
            raise ConfigError(f"counters must be true or false, not {self.counters!r}")
        if not self.name or not self.name.replace("_", "").replace("-", "").isalnum():
            raise ConfigError(f"name must be made of letters, digits, '-' and '_', not {self.name!r}")
        if self.filter_spad_words % self.weights_per_word:
            raise ConfigError(
                f"filter_spad_words must be a multiple of {self.weights_per_word}, not {self.filter_spad_words!r}"
            )
        if self.filter_lane_words < self.filter_spad_words // self.weights_per_word:
            raise ConfigError(
                f"filter_lane_words must hold one filter_spad_words half "
                f"({self.filter_spad_words // self.weights_per_word} words) at least, not {self.filter_lane_words!r}"
            )
        if self.drain_fifo_beats < 2 * self.drain_width:
            raise ConfigError(f"drain_fifo_beats must be at least twice drain_width, not {self.drain_fifo_beats!r}")
        if self.residual_fifo_beats < 2 * self.drain_width:
            raise ConfigError(
                f"residual_fifo_beats must be at least twice drain_width, not {self.residual_fifo_beats!r}"
            )

    @property
    def pes(self) -> int:
        """Processing elements in the array."""
        return self.rows * self.cols

    @property
    def bus_bytes(self) -> int:
        """Bytes of one beat, which is also one global-buffer word."""
        return self.bus_bits // 8

    @property
    def activation_bytes(self) -> int:
        """Bytes of one activation in memory."""
        return self.activation_bits // 8

    @property
    def channel_block(self) -> int:
        """Channels of one pixel in a bus word."""
        return self.bus_bits // self.activation_bits

    @property
    def weights_per_word(self) -> int:
        """Weights in a bus word."""
        return self.bus_bits // self.weight_bits

    @property
    def operand_bits(self) -> int:
        """Signed bits of an activation after its zero point has been subtracted."""
        return self.activation_bits + 1

    @property
    def ifmap_buffer_bytes(self) -> int:
        """Bytes of all ifmap lanes."""
        return self.lanes * self.ifmap_lane_words * self.bus_bytes

    @property
    def psum_buffer_bytes(self) -> int:
        """Bytes of all psum banks."""
        return self.cols * self.psum_bank_words * self.psum_bits // 8

    @property
    def filter_buffer_bytes(self) -> int:
        """Bytes of all filter lanes."""
        return self.rows * self.filter_lane_words * self.bus_bytes

    @property
    def global_buffer_bytes(self) -> int:
        """Bytes of the whole global buffer."""
        return self.ifmap_buffer_bytes + self.psum_buffer_bytes + self.filter_buffer_bytes

    def with_fields(self, changes: Mapping[str, object]) -> AcceleratorConfig:
        """Return a copy with some fields replaced.

        Parameters
        ----------
        changes : mapping of str to object
            New values by field name; text is converted to the field's type.

        Raises
        ------
        ConfigError
            If a field does not exist or a value is not allowed.
        """
        known = {field.name for field in dataclasses.fields(self)}
        values: dict[str, object] = {}
        for field, value in changes.items():
            if field not in known:
                raise ConfigError(f"config has no field {field!r}; it has {', '.join(sorted(known))}")
            values[field] = _from_text(field, value) if isinstance(value, str) and field != "name" else value
        return dataclasses.replace(self, **values)  # type: ignore[arg-type]


def _from_text(field: str, text: str) -> object:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text, 0)
    except ValueError:
        raise ConfigError(f"{field} must be an integer, not {text!r}") from None


#: The named machines. ``eyeriss`` has the published array size and 159.9 KiB of global buffer.
PRESETS: dict[str, AcceleratorConfig] = {
    config.name: config
    for config in (
        AcceleratorConfig(
            name="tiny",
            rows=4,
            cols=4,
            lanes=8,
            ifmap_lane_words=256,
            psum_bank_words=128,
            filter_lane_words=64,
            filter_spad_words=128,
            ifmap_spad_words=32,
            psum_spad_words=16,
            parameter_words=128,
            drain_width=4,
            queue_depth=4,
        ),
        AcceleratorConfig(name="small", rows=6, cols=7),
        AcceleratorConfig(
            name="eyeriss",
            rows=12,
            cols=14,
            ifmap_lane_words=1024,
            filter_lane_words=42,
            parameter_words=1024,
            queue_depth=16,
        ),
    )
}


def preset(name: str) -> AcceleratorConfig:
    """Return the preset called ``name``.

    Raises
    ------
    ConfigError
        If there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"config must be one of {', '.join(PRESETS)}, not {name!r}")
    return PRESETS[name]
