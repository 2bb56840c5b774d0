"""Where feature maps live in DRAM and how they look there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compiler.integers import ceil_div
from hw.config import AcceleratorConfig

#: Programs and snapshots must not cross 4 KiB boundaries in their bursts; feature maps gain nothing from less.
ALIGNMENT_BYTES = 512


@dataclass(frozen=True)
class FeatureMap:
    """A feature map [N][channel block][W][H][channels of a pixel] in DRAM.

    Parameters
    ----------
    address : int
        Byte address.
    images : int
        N.
    shape : (H, W, C)
        Of one image.
    pixel_channels : int
        Channels stored per pixel and block: a whole channel block, or fewer in a packed input.
    bus_bytes, activation_bytes : int
        Of the machine.
    column_step : int
        Stored columns from one column to the next; above 1 the others are left out.
    stored_columns, stored_blocks : int or None
        Columns and channel blocks that are stored, None if they are as many as ``shape`` says.
    """

    address: int
    images: int
    shape: tuple[int, int, int]
    pixel_channels: int
    bus_bytes: int
    activation_bytes: int
    column_step: int = 1
    stored_columns: int | None = None
    stored_blocks: int | None = None

    def every(self, step: int) -> FeatureMap:
        """Return the same feature map with every ``step``-th column only."""
        height, width, channels = self.shape
        shape = (height, ceil_div(width, step), channels)
        return dataclasses.replace(self, shape=shape, column_step=step, stored_columns=width)

    def part(self, first_block: int, shape: tuple[int, int, int]) -> FeatureMap:
        """Return the part of this feature map that begins with a channel block and has a shape of its own."""
        address = self.address + first_block * self.block_stride
        stored = self.stored_blocks or self.blocks
        return dataclasses.replace(self, address=address, shape=shape, stored_blocks=stored)

    @property
    def pixels_per_beat(self) -> int:
        """Consecutive rows in one bus word."""
        return self.bus_bytes // (self.pixel_channels * self.activation_bytes)

    @property
    def blocks(self) -> int:
        """Channel blocks."""
        return ceil_div(self.shape[2], self.pixel_channels)

    @property
    def column_stride(self) -> int:
        """Bytes from one column to the next."""
        return self.column_step * self._column_bytes

    @property
    def _column_bytes(self) -> int:
        return ceil_div(self.shape[0], self.pixels_per_beat) * self.bus_bytes

    @property
    def block_stride(self) -> int:
        """Bytes from one channel block to the next."""
        return (self.stored_columns or self.shape[1]) * self._column_bytes

    @property
    def image_stride(self) -> int:
        """Bytes from one image to the next."""
        return (self.stored_blocks or self.blocks) * self.block_stride

    @property
    def size_bytes(self) -> int:
        """Bytes from the first image's first one to the last image's last one."""
        return (self.images - 1) * self.image_stride + self.blocks * self.block_stride

    def pack(self, values: np.ndarray) -> bytes:
        """Return the bytes of an array (N, H, W, C)."""
        images, height, width, channels = values.shape
        rows = self._column_bytes // (self.pixel_channels * self.activation_bytes)
        full = np.zeros((images, rows, width, self.blocks * self.pixel_channels), values.dtype)
        full[:, :height, :, :channels] = values
        blocked = full.reshape(images, rows, width, self.blocks, self.pixel_channels)
        return np.ascontiguousarray(blocked.transpose(0, 3, 2, 1, 4)).tobytes()

    def unpack(self, data: bytes, dtype: np.dtype) -> np.ndarray:
        """Return the array (N, H, W, C) whose bytes, :attr:`size_bytes` of them, are ``data``."""
        height, width, channels = self.shape
        rows = self._column_bytes // (self.pixel_channels * self.activation_bytes)
        own = self.blocks * self.block_stride
        images = [data[start : start + own] for start in range(0, len(data), self.image_stride)]
        values = np.frombuffer(b"".join(images), dtype)
        blocked = values.reshape(self.images, self.blocks, width, rows, self.pixel_channels)
        full = blocked.transpose(0, 3, 2, 1, 4).reshape(self.images, rows, width, self.blocks * self.pixel_channels)
        return full[:, :height, :, :channels]


def packed_channels(channels: int, config: AcceleratorConfig) -> int:
    """Channels stored per pixel of a network input: the power of two that holds them, up to a channel block."""
    return min(config.channel_block, 1 << (channels - 1).bit_length())


@dataclass(frozen=True, eq=False)
class Segment:
    """What DRAM holds beforehand at ``address``: ``size_bytes`` bytes, which are made when they are read."""

    address: int
    size_bytes: int
    make: Callable[[], bytes]

    def data(self) -> bytes:
        """Return the bytes."""
        data = self.make()
        assert len(data) == self.size_bytes
        return data


class Planner:
    """Hands out DRAM addresses, upwards, and remembers what the image must hold there."""

    def __init__(self, *, limit: int = 1 << 32) -> None:
        self._next = 0
        self._limit = limit
        self.segments: list[Segment] = []

    @property
    def size_bytes(self) -> int:
        """Bytes handed out so far."""
        return self._next

    def reserve(self, size: int) -> int:
        """Return the address of ``size`` fresh bytes."""
        address = self._next
        self._next = ceil_div(address + size, ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        if self._next > self._limit:
            raise MemoryError(
                f"the program needs {self._next} bytes of DRAM, more than the {self._limit} of the address space"
            )
        return address

    def place(self, size: int, make: Callable[[], bytes]) -> int:
        """Return the address of ``size`` fresh bytes that hold what ``make`` returns, once somebody asks for it."""
        address = self.reserve(size)
        self.segments.append(Segment(address, size, make))
        return address

    def feature_map(
        self, images: int, shape: tuple[int, int, int], config: AcceleratorConfig, *, packed: bool
    ) -> FeatureMap:
        """Return a feature map in fresh bytes."""
        pixel = packed_channels(shape[2], config) if packed else config.channel_block
        fmap = FeatureMap(0, images, shape, pixel, config.bus_bytes, config.activation_bytes)
        return FeatureMap(
            self.reserve(fmap.size_bytes), images, shape, pixel, config.bus_bytes, config.activation_bytes
        )
