"""How many machines a second Eyas costs, beside nn_dataflow's and ZigZag's searches, on AlexNet in one run."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.graph import Conv, FullyConnected
from compiler.networks import network
from hw.config import AcceleratorConfig, ConfigError, preset
from sim.sweep.costs import Cost, evaluate
from sim.sweep.space import Workload

DRIVERS = Path(__file__).parent / "drivers"
NETWORK = "alexnet"
#: Machines that Eyas costs in each turn, all different, so that nothing is remembered from one to the next.
MACHINES = [preset("eyeriss").with_fields({"rows": rows, "cols": cols}) for rows in (10, 11, 12) for cols in (13, 14)]


class StudyError(ConfigError):
    """A comparison that cannot be made; the message says why."""


@dataclass(frozen=True)
class Rival:
    """Somebody else's search.

    Parameters
    ----------
    title : str
        What the table calls it.
    driver : str
        Script under ``drivers``.
    python : Path
        Interpreter that has the package.
    request : mapping
        What the script reads.
    """

    title: str
    driver: str
    python: Path
    request: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """One rival beside Eyas; processor seconds for one machine and AlexNet."""

    rival: str
    version: str
    batch: int
    rival_seconds: float
    eyas_seconds: float

    @property
    def ratio(self) -> float:
        """How many machines Eyas costs in the time in which the rival searches one."""
        return self.rival_seconds / self.eyas_seconds


def rivals(nn_dataflow: Path | None, zigzag: Path | None, batch: int) -> list[Rival]:
    """Return the searches to run, those whose interpreter is given.

    Parameters
    ----------
    nn_dataflow, zigzag : Path, optional
        Interpreters that have nn-dataflow 2.1 (with sympy<1.6) and zigzag-dse 3.9.1 (with six).
    batch : int
        N.
    """
    config = preset("eyeriss")
    machine = {
        "batch": batch,
        "rows": config.rows,
        "cols": config.cols,
        "rf_words": 512,
        "buffer_words": config.global_buffer_bytes,
    }
    found = []
    if nn_dataflow is not None:
        for title, solve in (("nn_dataflow, analytic solver", True), ("nn_dataflow, exhaustive search", False)):
            found.append(Rival(title, "nn_dataflow_driver.py", nn_dataflow, {**machine, "solve": solve}))
    if zigzag is not None:
        found.append(Rival("ZigZag", "zigzag_driver.py", zigzag, {"batch": batch, "layers": layers()}))
    return found


def layers() -> list[dict[str, Any]]:
    """Return AlexNet's convolutions and fully connected layers; channels and filters are those of one group."""
    found = []
    for layer in network(NETWORK).layers:
        conv = layer.as_conv() if isinstance(layer, FullyConnected) else layer
        if isinstance(conv, Conv):
            rows, columns, filters = conv.output_shape
            _, height, _, channels = conv.filter_shape
            found.append(
                {
                    "name": conv.name,
                    "groups": conv.groups,
                    "channels": channels,
                    "filters": filters // conv.groups,
                    "ofmap_rows": rows,
                    "ofmap_columns": columns,
                    "window": height,
                    "stride": conv.stride[0],
                }
            )
    return found


def compare(chosen: list[Rival], batch: int, tell: Callable[[str], None]) -> list[Comparison]:
    """Run each rival between two turns of Eyas and compare it with their mean.

    Parameters
    ----------
    chosen : list of Rival
        From :func:`rivals`.
    batch : int
        N.
    tell : callable
        Is told how far the comparison is.

    Raises
    ------
    StudyError
        If there is no rival, one fails, or a machine cannot be costed.
    """
    if not chosen:
        raise StudyError("the study must have something to compare with: give --nn-dataflow or --zigzag")
    tell("Eyas: first machine, which compiles what is compiled once")
    _cost(MACHINES[0], batch)
    before, found = _turn(batch, tell), []
    for rival in chosen:
        tell(f"{rival.title}: AlexNet, batch {batch}")
        answer = _ask(rival)
        after = _turn(batch, tell)
        mean = (before + after) / 2
        found.append(Comparison(rival.title, answer["version"], batch, answer["seconds"], mean))
        before = after
    return found


def table(comparisons: list[Comparison]) -> str:
    """Return comparisons as text."""
    lines = [f"{'AlexNet, one core':<38s} {'batch':>6s} {'seconds':>9s} {'Eyas':>9s} {'ratio':>7s}"]
    for item in comparisons:
        title = f"{item.rival} ({item.version})"
        lines.append(
            f"{title:<38s} {item.batch:6d} {item.rival_seconds:9.2f} {item.eyas_seconds:9.3f} {item.ratio:7.1f}"
        )
    return "\n".join(lines)


def _ask(rival: Rival) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [str(rival.python), str(DRIVERS / rival.driver)],
            input=json.dumps(rival.request),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise StudyError(f"{rival.title} must have a Python interpreter, {rival.python} is none ({error})") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise StudyError(f"{rival.title} has failed: {lines[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _turn(batch: int, tell: Callable[[str], None]) -> float:
    """Return Eyas's processor seconds for one machine."""
    tell(f"Eyas: {len(MACHINES)} machines")
    start = time.process_time()
    for config in MACHINES:
        _cost(config, batch)
    return (time.process_time() - start) / len(MACHINES)


def _cost(config: AcceleratorConfig, batch: int) -> Cost:
    cost = evaluate(config, Workload(NETWORK, NETWORK, batch))
    if isinstance(cost, str):
        raise StudyError(cost)
    return cost
