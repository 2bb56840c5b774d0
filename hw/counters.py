"""Performance counters: live values, and the snapshots that marks write to DRAM."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.config import AcceleratorConfig
from hw.layouts import counts_layout

#: Who increments counters, in the order of the snapshot.
COUNTING = ("fetch", *spec.ENGINES)
#: Those whose next mark waits until the previous snapshot is written. Drain writes it and so never has to wait.
WAITING = COUNTING[:-1]

TOTAL = "cycle.total"


class CounterBank(wiring.Component):
    """Add up what the engines count and keep one snapshot.

    Latency: an increment in cycle t is in ``live`` at t + 1; a capture in cycle t includes it. Throughput: every
    counter by any amount each cycle.

    Without ``config.counters`` only ``cycle.total`` is built; the others read as zero and marks still work.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    counts_* : In(counts_layout(engine))
        Increments of this cycle, per engine.
    capture_* : In(1)
        The engine starts a mark: its counters, this cycle's increments included, go to the snapshot.
        ``cycle.total`` goes there with drain's, as it stands: the cycles before this one.
    mark_free_* : Out(1)
        The engine's part of the snapshot is free for its next mark. Drain has none.
    clear : In(1)
        All counters are zero in the next cycle, and every snapshot is free.
    running : In(1)
        ``cycle.total`` counts this cycle.
    marked : In(1)
        The snapshot is in DRAM; all parts are free in the next cycle.
    all_captured : Out(1)
        Every engine but drain has taken its part.
    snapshot_index, live_index : In(6)
        Which counter to look at.
    snapshot, live : Out(64)
        Its value in the snapshot, and now; combinational.
    total : Out(COUNTER_BITS)
        ``cycle.total`` now.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                **{f"counts_{engine}": In(counts_layout(engine)) for engine in COUNTING},
                **{f"capture_{engine}": In(1) for engine in COUNTING},
                **{f"mark_free_{engine}": Out(1) for engine in WAITING},
                "clear": In(1),
                "running": In(1),
                "marked": In(1),
                "all_captured": Out(1),
                "snapshot_index": In(6),
                "snapshot": Out(64),
                "live_index": In(6),
                "live": Out(64),
                "total": Out(spec.COUNTER_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._pending(m)
        pairs = [self._counter(m, counter) for counter in spec.COUNTERS]
        _select(m, self.snapshot, self.snapshot_index, [snapshot for snapshot, _ in pairs])
        _select(m, self.live, self.live_index, [live for _, live in pairs])
        return m

    def _pending(self, m: Module) -> None:
        free = []
        for engine in WAITING:
            pending = Signal(name=f"pending_{engine}")
            with m.If(getattr(self, f"capture_{engine}")):
                m.d.sync += pending.eq(1)
            with m.If(self.marked | self.clear):
                m.d.sync += pending.eq(0)
            mark_free = getattr(self, f"mark_free_{engine}")
            m.d.comb += mark_free.eq(~pending)
            free.append(mark_free)
        m.d.comb += self.all_captured.eq(~Cat(free).any())

    def _counter(self, m: Module, counter: spec.Counter) -> tuple[Value | None, Value | None]:
        """Build one counter; return its snapshot and its live value, None where the configuration leaves it out."""
        is_total = counter.name == TOTAL
        if not (is_total or self._config.counters):
            return None, None
        name = counter.name.replace(".", "_")
        live = Signal(spec.COUNTER_BITS, name=name)
        snapshot = Signal(spec.COUNTER_BITS, name=f"{name}_snapshot")
        increment = self.running if is_total else getattr(self, f"counts_{counter.engine}")[name]
        m.d.sync += live.eq(live + increment)
        with m.If(getattr(self, f"capture_{counter.engine}")):
            m.d.sync += snapshot.eq(live if is_total else live + increment)
        with m.If(self.clear):
            m.d.sync += live.eq(0)
        if is_total:
            m.d.comb += self.total.eq(live)
        return snapshot, live


def _select(m: Module, output: Signal, index: Signal, values: Sequence[Value | None]) -> None:
    with m.Switch(index):
        for i, value in enumerate(values):
            if value is not None:
                with m.Case(i):
                    m.d.comb += output.eq(value)
