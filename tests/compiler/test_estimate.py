"""Estimates against the exact model and against scalar formulas, and drain's closed form against its segments."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.candidates import Candidates, Problem
from compiler.estimate import Estimate, Estimator, drain_cycles
from compiler.graph import NetworkError
from compiler.mapper import BEATS_PER_CYCLE_SAVED, Mapper, first_best
from compiler.networks import network
from compiler.program import compile_network
from compiler.shapes import ArrayShapes, array_pairs
from compiler.work import lower
from golden.blocks import strip_blocks
from golden.machine import predict
from hw import spec
from hw.config import AcceleratorConfig, ConfigError, preset
from tests.compiler import scalar_mapper


@given(st.integers(1, 300), st.integers(1, 30), st.integers(1, 20), st.integers(1, 16), st.integers(1, 8))
def test_drain_cycles_are_those_of_the_blocks(entries, rows, cols, width, channels):
    config = AcceleratorConfig(name="c", rows=2, cols=1, drain_width=width)
    layer = fields("drain.layer", rows=rows, images=entries, psums=channels)
    cycles = 0
    for start in range(0, entries, cols):
        columns = min(cols, entries - start)
        strip = fields("drain.strip", row=start % rows, strip_columns=columns, columns=1, channels=channels)
        cycles += sum(max(block.reads, block.beats) for block in strip_blocks(strip, layer, config))
    assert drain_cycles(entries, rows, cols, width, channels) == cycles


def fields(command, **values):
    """Return the fields of a command, those not named 0."""
    return {field.name: 0 for field in spec.COMMAND[command].fields} | values


def test_drain_cycles_of_an_array_are_those_of_its_elements():
    rng = np.random.default_rng(1)
    entries, rows, channels = (rng.integers(1, most, 200) for most in (300, 30, 9))
    every = [int(drain_cycles(*case, 7, 4, number)) for *case, number in zip(entries, rows, channels, strict=True)]
    assert drain_cycles(entries, rows, 7, 4, channels).tolist() == every


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


def ranked(problem):
    """Return the candidates, None if there are none, and their costs."""
    pairs = list(array_pairs(problem.work, problem.taps, problem.config))
    if not pairs:
        return [], None
    shapes = ArrayShapes(problem.work, problem.taps, pairs, problem.config)
    found = Candidates(problem, shapes)
    costs = Estimator(problem, shapes, found).costs() if len(found) else None
    return [found.mapping(index) for index in range(len(found))], costs


@pytest.mark.parametrize("text", LAYERS)
def test_the_estimate_is_near_the_exact_cycles(text):
    config, net = preset("eyeriss"), network(text)
    program = compile_network(net, config)
    (mapping,), source = program.layers[0].mappings, program.layers[0].sources[0]
    (work,) = lower(net.layers[0], psum_bits=config.psum_bits)
    problem = Problem(config=config, work=work, images=1, input_shape=source.shape, align=source.pixels_per_beat)
    found, costs = ranked(problem)
    index = found.index(mapping)
    exact = predict(config, program.commands)
    assert abs(costs.cycles[index] / exact.cycles - 1) < CYCLES_OFF
    dram_bytes = sum(count for name, count in exact.snapshots[-1].items() if name.startswith("dram."))
    assert abs(costs.bus_beats[index] * config.bus_bytes / dram_bytes - 1) < BEATS_OFF


#: Layers of every kind, small enough for scalars.
SMALL = (
    "conv:C=3,M=10,H=9,W=9,R=3,S=3,pad=1",
    "conv:C=20,M=5,H=7,W=7,R=5,S=2,stride=2",
    "conv:C=12,M=12,H=8,W=8,R=3,S=3,pad=1,groups=12",
    "conv:C=44,M=6,H=8,W=8,R=3,S=3,pad=1,groups=2",
    "conv:C=40,M=64,H=24,W=6,R=1,S=1",
    "conv:C=2,M=9,H=20,W=20,R=11,S=11,pad=5,stride=4",
    "fc:C=100,M=30",
    "maxpool:C=21,H=17,W=17,R=3,S=3,stride=2",
    "avgpool:C=10,H=7,W=7,R=7,S=7",
)


def random_config(rng):
    """Return a random machine around the preset ``small``."""
    fields = {
        "rows": rng.choice((2, 3, 6, 12, 16)),
        "cols": rng.choice((1, 2, 7, 14, 30)),
        "lanes": rng.choice((8, 16)),
        "ifmap_lane_words": rng.choice((16, 40, 256, 1024)),
        "psum_bank_words": rng.choice((16, 30, 128, 512)),
        "filter_lane_words": rng.choice((16, 33, 128)),
        "filter_spad_words": rng.choice((8, 64, 128)),
        "ifmap_spad_words": rng.choice((4, 12, 64)),
        "psum_spad_words": rng.choice((1, 3, 20, 32)),
        "parameter_words": rng.choice((8, 128, 500)),
        "activation_bits": rng.choice((8, 8, 16)),
        "drain_width": rng.choice((1, 3, 8, 16)),
    }
    return preset("small").with_fields(fields)


def problems(count, seed):
    """Yield random problems."""
    rng = Random(seed)
    works = [(net, lower(net.layers[0], psum_bits=32)) for net in map(network, SMALL)]
    for _ in range(count):
        try:
            config = random_config(rng)
        except ConfigError:
            continue
        net, parts = rng.choice(works)
        yield Problem(
            config=config,
            work=rng.choice(parts),
            images=rng.choice((1, 2, 5)),
            input_shape=net.input_shape,
            align=rng.choice((1, 1, 2, 4)),
            residual=rng.random() < 0.5,
        )


def test_candidates_and_their_costs_are_those_of_the_scalar_formulas():
    """In the order of enumeration, from machines on which few mappings fit to such with thousands."""
    rng, sizes = Random(2), []
    for problem in problems(70, seed=1):
        found, costs = ranked(problem)
        assert found == scalar_mapper.candidates(problem)
        for index in rng.sample(range(len(found)), min(len(found), 40)):
            cost = int(costs.cycles[index]), int(costs.bus_beats[index])
            assert cost == scalar_mapper.cost(problem, found[index]), (problem, found[index])
        sizes.append(len(found))
    assert 0 in sizes and max(sizes) > 1000


def test_candidates_fit_the_buffers():
    for problem in problems(60, seed=3):
        config = problem.config
        for mapping in ranked(problem)[0]:
            psums = mapping.slots if problem.work.depthwise else mapping.filters
            assert mapping.strips >= 1 and mapping.strips * mapping.columns * psums <= config.psum_bank_words
            assert scalar_mapper.region_words(problem, mapping) <= config.ifmap_lane_words


def test_the_mapper_takes_the_first_of_the_best():
    for problem in problems(60, seed=4):
        found, costs = ranked(problem)
        arguments = {"images": problem.images, "input_shape": problem.input_shape, "align": problem.align}
        arguments |= {"residual": problem.residual}
        mapper = Mapper(config=problem.config)
        if not found:
            with pytest.raises(NetworkError, match=r"^layer conv must fit the buffers of config small "):
                mapper.choose("conv", problem.work, **arguments)
            continue
        pairs = list(zip(costs.cycles.tolist(), costs.bus_beats.tolist(), strict=True))
        ranks = [(cycles + beats // BEATS_PER_CYCLE_SAVED, beats) for cycles, beats in pairs]
        assert mapper.choose("conv", problem.work, **arguments) == found[ranks.index(min(ranks))]


@pytest.mark.parametrize(
    ("cycles", "beats", "best"), [([9, 8, 8], [0, 8, 0], 2), ([8, 9], [8, 0], 1), ([5, 5], [3, 3], 0)]
)
def test_beats_count_an_eighth_and_break_ties(cycles, beats, best):
    assert first_best(Estimate(np.array(cycles), np.array(beats))) == best
