"""Drain's second feature map: blocks, places in FIFOs, and the reads ahead; section 8 of docs/timing.md."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from golden.memory_model import ReadPort, split_bursts
from golden.tokens import Sleeper
from hw.config import AcceleratorConfig

PIPELINE_CYCLES = 6  # last bank read of a block to the block complete
ADD_CYCLES = 6  # the same, beyond that, with a residual
BLOCKS_AHEAD = 16  # descriptors between walker and reader


@dataclass(slots=True)
class Block:
    """One ofmap column, some PE columns of one segment, channels of one channel block.

    ``ready`` is the first cycle in which its residual is there, None while unknown.
    """

    address: int
    reads: int
    beats: int
    last: bool = False
    ready: int | None = 0


class Credits:
    """Places in a FIFO: when they come back."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._returned = 0
        self._returns: deque[tuple[int, int, int]] = deque()  # (places returned before, cycle of the first, places)

    def give_back(self, first: int, places: int) -> None:
        """Return ``places``, one a cycle, from cycle ``first`` on, each visible the cycle after."""
        self._returns.append((self._returned, first, places))
        self._returned += places

    def take(self, places: int) -> None:
        """Take places whose time :meth:`visible` has told."""
        self._taken += places

    def visible(self, places: int) -> int | None:
        """First cycle in which so many places are free, None while unknown."""
        return self._back(self._taken + places - self._places)

    def all_back(self) -> int | None:
        """First cycle in which all places are free, None while unknown."""
        return self._back(self._taken)

    def _back(self, number: int) -> int | None:
        if number <= 0:
            return 0
        while self._returns:
            before, first, places = self._returns[0]
            if number <= before + places:
                return first + number - before
            self._returns.popleft()
        return None


class Residuals:
    """The walker while a second feature map is added: asks for each block's share of it.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    port : ReadPort
        Where to ask.
    drain : Sleeper
        Woken when something has happened.
    """

    def __init__(self, *, config: AcceleratorConfig, port: ReadPort, drain: Sleeper) -> None:
        self._config = config
        self._port = port
        self._drain = drain
        self._blocks: deque[Block] = deque()
        self._offset = 0
        self._bursts: deque[int] = deque()
        self._shown = 0
        self._pushed = 0
        self._pops: list[int] = []
        self._credits = Credits(config.residual_fifo_beats)

    def start(self, cycle: int, blocks: list[Block], offset: int) -> None:
        """Begin a strip whose first block is shown in ``cycle``; ``offset`` leads from ofmap to residual."""
        self._blocks.extend(blocks)
        self._offset = offset
        self._shown = cycle

    def step(self) -> bool:
        """Ask for the next block's residual if its time is known."""
        if self._bursts or not self._blocks:
            return False
        block, index = self._blocks[0], self._pushed - BLOCKS_AHEAD
        credit = self._credits.visible(block.beats)
        if credit is None or index >= len(self._pops):
            return False
        room = self._pops[index] + 1 if index >= 0 else 0
        self._credits.take(block.beats)
        address = (block.address + self._offset) % (1 << 32)
        pieces = split_bursts(address, block.beats, bus_bytes=self._config.bus_bytes)
        self._bursts.extend(beats for _, beats in pieces)
        self._want(max(self._shown, credit, room))
        return True

    def _want(self, valid: int) -> None:
        last = self._blocks[0] if len(self._bursts) == 1 else None
        self._port.want(1, valid, self._bursts[0], self, last)

    def accepted(self, cycle: int) -> None:
        """AR of the wanted burst was accepted."""
        self._bursts.popleft()
        if self._bursts:
            self._want(cycle + 1)
            return
        self._blocks.popleft()
        self._pushed += 1
        self._shown = cycle + 1
        self._drain.awake = True

    def first_beat(self, cycle: int, tag: object) -> int:
        """Residuals are always taken at once."""
        return cycle

    def received(self, first: int, beats: int, tag: object) -> None:
        """With its last burst a block's residual is there."""
        if isinstance(tag, Block):
            tag.ready = first + beats
            self._drain.awake = True

    def finish(self, last_read: int, beats: int) -> None:
        """A block's last read was in ``last_read``: its descriptor is gone, its residual beats go one by one."""
        self._pops.append(last_read)
        self._credits.give_back(last_read + PIPELINE_CYCLES + 1, beats)
