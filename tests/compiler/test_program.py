import collections

import numpy as np
import pytest

from compiler.emitter import Emitter
from compiler.graph import NetworkError
from compiler.mapper import Mapper
from compiler.mapping import units
from compiler.networks import network
from compiler.packing import filter_words
from compiler.plan import Nest
from compiler.program import compile_layers, compile_network
from compiler.rings import Ring
from compiler.work import lower
from golden.blocks import strip_blocks
from golden.machine import DeadlockError, predict
from hw import spec
from hw.config import preset
from tests.sim.layers import LayerCase, NetworkCase, build

#: Of an addition's inputs and of its sum.
SCALING = ((1 << 30, 0), (1 << 30, 0), (1 << 30, -19))

#: Bus words of the address space.
ADDRESSES = (1 << 32) // 8
#: Of a strip that gives no token.
NEVER = 1 << 40

LAYERS = [
    "conv:C=3,M=10,H=9,W=9,R=3,S=3,pad=1",
    "conv:C=20,M=5,H=7,W=7,R=5,S=2,stride=2",
    "conv:C=12,M=12,H=8,W=8,R=3,S=3,pad=1,groups=12",
    "conv:C=12,M=6,H=8,W=8,R=3,S=3,pad=1,groups=3",
    "fc:C=100,M=30",
    "maxpool:C=10,H=9,W=9,R=3,S=3,stride=2",
    "avgpool:C=10,H=7,W=7,R=7,S=7",
]


def work_of(text):
    net = network(text)
    return net, lower(net.layers[0], psum_bits=32)


@pytest.mark.parametrize("text", LAYERS)
@pytest.mark.parametrize("name", ["tiny", "small"])
def test_every_product_is_computed_exactly_once(text, name):
    """The units' slices cover each (ofmap channel, channel, filter row, fresh tap) once."""
    config = preset(name)
    net, works = work_of(text)
    mapper = Mapper(config=config)
    for work in works:
        mapping = mapper.choose(text, work, images=1, input_shape=net.input_shape, align=1)
        seen = collections.Counter()
        height, width = work.window
        for unit in units(work, mapping, config):
            for piece in unit.slices:
                taps = range(piece.fresh_tap, piece.tap + mapping.taps)
                for slot in range(piece.slots):
                    for row in range(piece.last_rows if slot == piece.slots - 1 else piece.active_rows):
                        if work.depthwise:
                            pair = piece.pair + slot * height + row
                        else:
                            pair = piece.pair + slot * config.rows + row
                        seen.update((pair, tap) for tap in taps)
        assert seen == {(pair, tap): 1 for pair in range(work.channels * height) for tap in range(width)}


@pytest.mark.parametrize("text", LAYERS)
def test_every_ofmap_position_is_drained_exactly_once(text):
    config = preset("tiny")
    net, works = work_of(text)
    program = compile_network(net, config, batch=2)
    rows, columns, channels = net.layers[0].output_shape
    drained = np.zeros((2, rows, columns, channels), int)
    for work in works:
        mapping = Mapper(config=config).choose(
            net.layers[0].name,
            work,
            images=2,
            input_shape=net.input_shape,
            align=program.layers[0].sources[0].pixels_per_beat,
        )
        nest = Nest(
            work=work,
            mapping=mapping,
            source=program.layers[0].sources[0],
            config=config,
            psums=Ring(words=config.psum_bank_words, tenants=15),
            lanes=Ring(words=config.ifmap_lane_words, tenants=255),
        )
        for entry in nest.passes:
            if not entry.part.last:
                continue
            strip, tile, entries = entry.strip, entry.strip.tile, entry.strip.entries
            for number in range(entries.start, entries.start + entries.count):
                group, position = divmod(number, tile.images * tile.rows)
                image, row = divmod(position, tile.rows)
                first = strip.first_channel + (group - entries.group) * strip.unit.psums
                last = min(first + strip.unit.psums, strip.first_channel + strip.channels)
                across = slice(tile.column, tile.column + tile.columns)
                drained[tile.image + image, tile.row + row, across, first:last] += 1
    assert (drained == 1).all()


def branching():
    """Return a network with two additions, one by drain alone, and two concatenations, one within the other."""
    layers = (
        LayerCase(kind="conv", filters=16, window=(3, 3), padding=(1, 1, 1, 1)),
        LayerCase(kind="conv", filters=16, window=(3, 3), padding=(1, 1, 1, 1)),
        LayerCase(kind="add", inputs=(0, 1), scaling=SCALING),
        LayerCase(kind="max", window=(3, 3), padding=(1, 1, 1, 1)),
        LayerCase(kind="add", inputs=(3, 2), scaling=SCALING),
        LayerCase(kind="conv", filters=8, inputs=(4,)),
        LayerCase(kind="conv", filters=16, inputs=(4,)),
        LayerCase(kind="conv", filters=5, inputs=(2,)),
        LayerCase(kind="concat", inputs=(6, 7)),
        LayerCase(kind="concat", inputs=(5, 8)),
        LayerCase(kind="fc", filters=20),
    )
    return build(NetworkCase(input_shape=(9, 9, 3), zero_point=0, batch=2, seed=0, layers=layers))


@pytest.mark.parametrize("text", ["lenet5", "branching", "resnet8", *LAYERS])
def test_commands_wait_only_for_what_earlier_commands_give(text):
    """The rule that excludes deadlock, for the tokens that commands name."""
    net = branching() if text == "branching" else network(text)
    program = compile_network(net, preset("tiny"), batch=2)
    given = collections.Counter()
    signals = {
        "signal_ifmap_ready": "ifmap_ready",
        "signal_ifmap_free": "ifmap_free",
        "signal_psum_ready": "psum_ready",
        "signal_psum_free": "psum_free",
        "signal_parameter_free": "parameter_free",
        "signal_written": "written",
    }
    for name, fields in program.commands:
        for field, value in fields.items():
            if field.startswith("wait_"):
                given[field.removeprefix("wait_")] -= value
                assert given[field.removeprefix("wait_")] >= 0, (name, field)
        for field, token in signals.items():
            given[token] += fields.get(field, 0)
        given["parameter_ready"] += name == "load.parameter"


@pytest.mark.parametrize("text", ["lenet5", "branching", "resnet8"])
def test_loads_wait_for_the_strips_that_write_what_they_read(text):
    """No load overtakes a write; what drain adds was written before an earlier mark, which waits for all writes."""
    net, config = branching() if text == "branching" else network(text), preset("tiny")
    program = compile_network(net, config, batch=2)
    token = np.zeros(program.memory_bytes // config.bus_bytes, np.int64)  # of the strip that wrote a word
    step = np.full(len(token), -1)  # that wrote a word
    given = waited = 0
    layer, residual = {}, {"enable": 0}
    for index, (name, fields) in zip(program.command_layers, program.commands, strict=True):
        if name == "load.ifmap":
            waited += fields["wait_written"]
            assert token[_words_read(fields, config)].max() <= waited
        elif name == "drain.layer":
            layer = fields
        elif name == "drain.residual":
            residual = fields
        elif name == "drain.strip":
            words = _words_written(fields, layer, config)
            if residual["enable"]:
                added = (words + residual["address_offset"] // config.bus_bytes) % ADDRESSES
                assert step[added].max() < index
            given += fields["signal_written"]
            token[words], step[words] = given if fields["signal_written"] else NEVER, index
    assert 0 < waited <= given


def _words_read(fields, config):
    starts = [
        fields["dram_address"] + block * fields["block_stride"] + column * fields["column_stride"]
        for block in range(fields["blocks"])
        for column in range(fields["columns"])
    ]
    return np.add.outer(np.array(starts) // config.bus_bytes, np.arange(fields["column_beats"])).ravel()


def _words_written(fields, layer, config):
    blocks = strip_blocks(fields, layer, config)
    words = [np.arange(block.beats) + block.address // config.bus_bytes for block in blocks]
    return np.concatenate(words)


def test_programs_are_deterministic():
    first, second = (compile_network(network("lenet5"), preset("small"), batch=3) for _ in range(2))
    assert first.commands == second.commands and first.segments == second.segments


def test_segments_and_feature_maps_do_not_overlap():
    program = compile_layers(network("alexnet"), ["conv1", "conv2"], preset("eyeriss"))
    places = [(address, len(data)) for address, data in program.segments]
    for layer in program.layers:
        places += [(fmap.address, fmap.size_bytes) for fmap in (*layer.sources, layer.target)]
        places.append((layer.mark_address, 8 * spec.SNAPSHOT_BEATS))
    places.sort()
    for (address, size), (following, _) in zip(places, places[1:], strict=False):
        assert address + size <= following
    assert sum(places[-1]) <= program.memory_bytes


@pytest.mark.parametrize("text", LAYERS)
def test_filter_loads_are_what_the_passes_stage(text):
    """Words loaded minus words released is never more than the buffer, and nothing is left over."""
    config = preset("tiny")
    program = compile_network(network(text), config, batch=1)
    loaded = sum(fields["items"] * fields["words"] for name, fields in program.commands if name == "load.filter")
    released = sum(
        fields["filter_words"] * (fields["groups"] - fields["keep_last_group"])
        for name, fields in program.commands
        if name == "execute.pass" and not fields["reuse_filters"]
    )
    assert loaded == released


@pytest.mark.parametrize("text", [*LAYERS, "conv:C=8,M=8,H=16,W=16,R=1,S=1"])
def test_a_pass_releases_its_filters_unless_the_next_one_reuses_them(text):
    program = compile_network(network(text), preset("tiny"), batch=2)
    passes = [fields for name, fields in program.commands if name == "execute.pass"]
    assert [fields["release_filters"] for fields in passes] == [
        1 - fields["reuse_filters"] for fields in (*passes[1:], {"reuse_filters": 0})
    ]
    for before, fields in zip(passes, passes[1:], strict=False):
        if fields["reuse_filters"]:
            assert fields["groups"] == before["groups"] == 1 and fields["strip_columns"] <= before["strip_columns"]


def test_filter_words_round_up():
    net, (work,) = work_of("conv:C=3,M=10,H=9,W=9,R=3,S=3,pad=1")
    config = preset("tiny")
    mapping = Mapper(config=config).choose("c", work, images=1, input_shape=net.input_shape, align=1)
    for unit in units(work, mapping, config):
        for piece in unit.slices:
            weights = piece.slots * mapping.taps * mapping.filters
            assert 0 <= 8 * filter_words(piece, mapping, config) - weights < 8


def test_a_window_beyond_the_fields_is_refused():
    net = network("maxpool:C=1,H=300,W=3,R=300,S=1")
    with pytest.raises(NetworkError, match="window height of layer .* must be at most 255 on this machine, not 300"):
        compile_network(net, preset("tiny"))


def test_a_program_that_waits_for_nothing_that_comes_is_a_deadlock():
    emitter = Emitter(config=preset("tiny"))
    emitter.emit("load.parameter", {"wait_parameter_free": 1, "dram_address": 0, "channels": 1, "entry": 0})
    emitter.mark(512, last=True)
    with pytest.raises(DeadlockError, match="the program does not end; queues wait with load: load.parameter"):
        predict(emitter.config, emitter.commands)
