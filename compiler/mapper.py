"""The mapper: it chooses how a work is laid over the array, in time, and in the buffers.

It enumerates mappings, estimates each with a few closed forms per pass, and takes the best by cycles, then bus beats,
then the order of enumeration, so the same work always gets the same mapping. The exact cost of what it chose comes
from :func:`golden.machine.predict`.
"""

from __future__ import annotations

import numpy as np

from compiler.candidates import Candidates, Problem
from compiler.estimate import Estimate, Estimator
from compiler.graph import NetworkError
from compiler.mapping import LAYER_FIELDS, Mapping
from compiler.shapes import ArrayShapes, array_pairs
from compiler.work import Work
from hw.config import AcceleratorConfig

#: Bus beats that are worth one cycle: an idle bus costs nothing, yet partial words are not worth a per mille.
BEATS_PER_CYCLE_SAVED = 8


class Mapper:
    """Chooses mappings for one machine.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        self._known: dict[object, Mapping] = {}

    def choose(
        self,
        name: str,
        work: Work,
        *,
        images: int,
        input_shape: tuple[int, int, int],
        align: int,
        residual: bool = False,
    ) -> Mapping:
        """Return the best mapping.

        Parameters
        ----------
        name : str
            Layer name, for the error.
        work : Work
            What to compute.
        images : int
            Batch size N.
        input_shape : (H, W, C)
            Shape of the ifmap.
        align : int
            Ifmap rows that share a DRAM word (1 unless the input is stored packed).
        residual : bool
            Whether drain adds a second feature map.

        Raises
        ------
        NetworkError
            If nothing fits the machine.
        """
        key = (work.shape(self._config.channel_block), images, input_shape, align, residual)
        if key not in self._known:
            problem = Problem(
                config=self._config,
                work=work,
                images=images,
                input_shape=input_shape,
                align=align,
                residual=residual,
            )
            _check_fields(name, work)
            best = _best(problem)
            if best is None:
                raise NetworkError(
                    f"layer {name} must fit the buffers of config {self._config.name} with one ofmap position "
                    f"per tile, its {work.window[0]} x {work.window[1]} window does not"
                )
            self._known[key] = best
        return self._known[key]


def _check_fields(name: str, work: Work) -> None:
    for size, bound, field in (
        (work.window[0], "filter_rows", "window height"),
        (max(work.stride), "stride_rows", "stride"),
        (max(work.padding), "pad_top", "padding"),
    ):
        limit = LAYER_FIELDS[bound].maximum
        if size > limit:
            raise NetworkError(f"{field} of layer {name} must be at most {limit} on this machine, not {size}")


def _best(problem: Problem) -> Mapping | None:
    """Return the mapping with the least estimate, None if there is no mapping."""
    pairs = list(array_pairs(problem.work, problem.taps, problem.config))
    if not pairs:
        return None
    shapes = ArrayShapes(problem.work, problem.taps, pairs, problem.config)
    candidates = Candidates(problem, shapes)
    if not len(candidates):
        return None
    return candidates.mapping(first_best(Estimator(problem, shapes, candidates).costs()))


def first_best(costs: Estimate) -> int:
    """Return the first of the candidates that cost the fewest cycles, beats included, and of these the fewest beats."""
    rank = costs.cycles + costs.bus_beats // BEATS_PER_CYCLE_SAVED
    best = np.flatnonzero(rank == rank.min())
    return int(best[np.argmin(costs.bus_beats[best])])
