"""Estimates against the exact model, and drain's closed form against its blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.estimate import Estimator, drain_cycles
from compiler.mapper import BEATS_PER_CYCLE_SAVED, Mapper
from compiler.mapping import ArrayShape
from compiler.networks import network
from compiler.program import compile_network
from compiler.work import lower
from golden.drain_model import segments
from golden.machine import predict
from hw.config import preset


@given(st.integers(1, 300), st.integers(1, 30), st.integers(1, 20), st.integers(1, 16), st.integers(1, 8))
def test_drain_cycles_are_those_of_the_segments(entries, rows, cols, width, channels):
    layer = {"rows": rows, "images": 1}
    cycles = 0
    for start in range(0, entries, cols):
        strip = {"image": 0, "row": start % rows, "strip_columns": min(cols, entries - start)}
        cycles += sum(max(channels, length) for *_, length in segments(strip, layer, width))
    assert drain_cycles(entries, rows, cols, width, channels) == cycles


#: Layers as in the built-in networks.
LAYERS = (
    "conv:C=64,M=64,H=28,W=28,R=3,S=3,pad=1",
    "conv:C=16,M=16,H=32,W=32,R=3,S=3,pad=1",
    "conv:C=512,M=128,H=14,W=14,R=1,S=1",
    "conv:C=64,M=64,H=56,W=56,R=3,S=3,pad=1,stride=2",
    "conv:C=32,M=32,H=56,W=56,R=3,S=3,pad=1,groups=32",
    "fc:C=1024,M=200",
)
#: How far an estimate may be off: it need only rank mappings, the exact model has the last word.
CYCLES_OFF, BEATS_OFF = 0.07, 0.1


@pytest.mark.parametrize("text", LAYERS)
def test_the_estimate_is_near_the_exact_cycles(text):
    config, net = preset("eyeriss"), network(text)
    program = compile_network(net, config)
    (mapping,), source = program.layers[0].mappings, program.layers[0].sources[0]
    (work,) = lower(net.layers[0], psum_bits=config.psum_bits)
    estimator = Estimator(config=config, work=work, images=1, input_shape=source.shape, align=source.pixels_per_beat)
    estimate = estimator.cost(ArrayShape(work, mapping, config), mapping)
    exact = predict(config, program.commands)
    assert abs(estimate.cycles / exact.cycles - 1) < CYCLES_OFF
    dram_bytes = sum(count for name, count in exact.snapshots[-1].items() if name.startswith("dram."))
    assert abs(estimate.bus_beats * config.bus_bytes / dram_bytes - 1) < BEATS_OFF


def test_nothing_ranks_before_the_mapping_that_is_chosen():
    config, net = preset("small"), network("conv:C=16,M=16,H=32,W=32,R=3,S=3,pad=1")
    (work,) = lower(net.layers[0], psum_bits=config.psum_bits)
    mapper, shape = Mapper(config=config), net.input_shape
    estimator = Estimator(config=config, work=work, images=1, input_shape=shape, align=1)

    def rank(array, mapping):
        cost = estimator.cost(array, mapping)
        return cost.cycles + cost.bus_beats // BEATS_PER_CYCLE_SAVED, cost.bus_beats

    chosen = mapper.choose("conv", work, images=1, input_shape=shape, align=1)
    ranks = [rank(*candidate) for candidate in mapper._candidates("conv", work, 1, shape, 1)]
    assert len(set(ranks)) > 20 and rank(ArrayShape(work, chosen, config), chosen) == min(ranks)
