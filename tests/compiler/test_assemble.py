"""How a network's layers are put together: what drain adds, where concatenated feature maps are, what comes out."""

import itertools

import numpy as np
import pytest

from compiler.assemble import Assembler, feature_maps, steps
from compiler.graph import Add, Concat, Conv, FullyConnected, Network, NetworkError, Pool, Quantisation
from compiler.program import compile_layers, compile_network
from golden.machine import predict
from hw import spec
from hw.config import preset

CONFIG = preset("tiny")
SHAPE = (4, 5, 8)
SCALING = {"multiplier": 1 << 30, "shift": -8, "input_zero_point": 0, "output_zero_point": 0}


def conv(name, *inputs, m=8, c=8, **fields):
    filters = np.ones((m, 1, 1, c // fields.get("groups", 1)), np.int8)
    return Conv(name=name, input_shape=(*SHAPE[:2], c), inputs=inputs, filters=filters, **SCALING, **fields)


def add(name, *inputs, shape=SHAPE):
    return Add(
        name=name,
        input_shape=shape,
        inputs=inputs,
        input_zero_points=(0, 0),
        input_multipliers=(1 << 30, 3 << 28),
        input_shifts=(0, -1),
        output_zero_point=0,
        output_multiplier=5 << 28,
        output_shift=-19,
    )


def pool(name, *inputs, c=8):
    return Pool(
        name=name,
        input_shape=(*SHAPE[:2], c),
        inputs=inputs,
        kind="max",
        window=(3, 3),
        stride=(1, 1),
        padding=(1,) * 4,
    )


def concat(name, **inputs):
    first = next(iter(inputs.values()))
    return Concat(name=name, input_shape=(*SHAPE[:2], first), inputs=tuple(inputs), channels=tuple(inputs.values()))


def network(*layers, shape=SHAPE):
    return Network(name="n", input_shape=shape, input_quantisation=Quantisation(), layers=layers)


def summary(net):
    """Return each step as text: its parts, and what they read ("." is the network's input)."""
    return [
        f"{'+'.join(part.name for part in step.parts)} < {' '.join(source or '.' for source in step.sources)}"
        for step in steps(net)
    ]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([conv("a"), add("s", "a", "")], ["a+s < . ."]),
        ([conv("a"), add("s", "", "a")], ["a+s < . ."]),
        ([conv("a"), conv("b"), add("s", "a", "b")], ["a < .", "b+s < a a"]),
        ([conv("a"), conv("b", ""), add("s", "b", "a")], ["a < .", "b+s < . a"]),
        ([conv("a", groups=8), add("s", "a", "")], ["a+s < . ."]),
    ],
    ids=["input added", "order does not matter", "chain", "two branches", "depthwise"],
)
def test_drain_takes_over_an_addition_of_the_layer_before(layers, expected):
    assert summary(network(*layers)) == expected


def test_drain_takes_over_an_addition_after_a_fully_connected_layer():
    fully = FullyConnected(name="b", input_shape=(1, 1, 8), filters=np.ones((8, 8), np.int8), **SCALING)
    total = add("s", "b", "", shape=(1, 1, 8))
    assert summary(network(fully, total, shape=(1, 1, 8))) == ["b+s < . ."]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([conv("a"), add("s", "a", ""), conv("b", "a")], ["a < .", "s < a .", "b < a"]),
        ([conv("a"), add("s", "a", ""), add("t", "a", "s")], ["a < .", "s < a .", "t < a s"]),
        ([conv("a"), add("s", "a", ""), concat("k", a=8, s=8)], ["a < .", "s < a ."]),
        ([conv("a"), conv("b", ""), add("s", "a", "")], ["a < .", "b < .", "s < a ."]),
        ([pool("a"), add("s", "a", "")], ["a < .", "s < a ."]),
        ([conv("a"), add("s", "a", ""), add("t", "s", "")], ["a+s < . .", "t < s ."]),
    ],
    ids=["read later", "read by two additions", "part of a concatenation", "not the layer before", "pool", "sum"],
)
def test_other_additions_are_steps_of_their_own(layers, expected):
    assert summary(network(*layers)) == expected


def test_concatenations_are_no_steps():
    net = network(conv("a"), conv("b", ""), concat("k", a=8, b=8), conv("c", c=16))
    assert summary(net) == ["a < .", "b < .", "c < k"]


def addresses(net, batch):
    return {name: stored.fmap for name, stored in feature_maps(net, Assembler(config=CONFIG, batch=batch)).items()}


@pytest.mark.parametrize("batch", [1, 3])
def test_parts_of_a_concatenation_lie_in_the_whole(batch):
    """Blocks 0 to 1, 2 and 3 to 4 of the whole; the inner concatenation is itself a part."""
    net = network(
        conv("a", m=16), conv("b", ""), conv("c", "", m=11), concat("inner", b=8, c=11), concat("k", a=16, inner=19)
    )
    fmaps = addresses(net, batch)
    whole = fmaps["k"]
    block = CONFIG.bus_bytes * SHAPE[0] * SHAPE[1]
    assert (whole.block_stride, whole.image_stride) == (block, 5 * block)
    for name, first in {"a": 0, "inner": 2, "b": 2, "c": 3}.items():
        part = fmaps[name]
        assert part.address == whole.address + first * block
        assert (part.column_stride, part.block_stride, part.image_stride) == (
            whole.column_stride,
            whole.block_stride,
            whole.image_stride,
        )
        assert part.shape == net.layer(name).output_shape and part.images == batch


def test_what_is_no_part_overlaps_nothing():
    net = network(conv("a"), conv("b"), concat("k", a=8, b=8), conv("c", c=16), add("s", "c", "b"))
    fmaps = addresses(net, 2)
    places = sorted((fmaps[name].address, fmaps[name].size_bytes) for name in ("", "k", "c", "s"))
    for (address, size), (following, _) in itertools.pairwise(places):
        assert address + size <= following


def test_an_input_of_few_channels_is_packed():
    fmaps = addresses(network(conv("a", c=3), shape=(*SHAPE[:2], 3)), 1)
    assert [fmaps[name].pixel_channels for name in ("", "a")] == [4, CONFIG.channel_block]


UNALIGNED = "inputs of layer k must be layers of 8, 16, ... channels that no other concatenation reads"
ALIKE = (
    "inputs of layer s must be stored like its ofmap to be added to it, "
    "neither packed (fewer channels than a block) nor a part of a concatenation of several images"
)
PARTS = [conv("a"), conv("b", ""), concat("k", a=8, b=8)]
FEW = (*SHAPE[:2], 3)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (network(conv("a", m=7), conv("b", ""), concat("k", a=7, b=8)), UNALIGNED),
        (network(conv("a"), concat("k", **{"": 8, "a": 8})), UNALIGNED),
        (network(*PARTS[:2], concat("j", a=8, b=8), concat("k", b=8, j=16)), UNALIGNED),
        (network(conv("a", m=3, c=3), add("s", "a", "", shape=FEW), shape=FEW), ALIKE),
        (network(*PARTS, conv("c", "b"), add("s", "c", "a")), ALIKE),
        (network(conv("a"), conv("b"), add("s", "b", "a"), concat("k", s=8, b=8)), ALIKE),
    ],
    ids=["unaligned", "network's input", "part of two", "packed", "part added", "sum is a part"],
)
def test_what_cannot_be_had_without_copying_is_refused_in_a_sentence(net, message):
    with pytest.raises(NetworkError) as refusal:
        compile_network(net, CONFIG, batch=2)
    assert str(refusal.value) == message


def test_a_part_of_one_image_can_be_added():
    net = network(*PARTS, conv("c", "b"), add("s", "c", "a"))
    program = compile_network(net, CONFIG)
    part, target = program.layers[2].sources[1], program.layers[2].target
    assert residuals(program)[-1]["address_offset"] == (part.address - target.address) % (1 << 32)


def residuals(program):
    return [fields for name, fields in program.commands if name == "drain.residual"]


def branches():
    """Return the program of two layers that read the network's input, an addition and a concatenation."""
    net = network(
        conv("a"), add("s", "a", ""), conv("b", "", m=12), concat("k", s=8, b=12), conv("c", c=20), add("t", "c", "s")
    )
    return compile_network(net, CONFIG)


def test_results_hold_ofmaps_and_snapshots_and_nothing_else():
    program = branches()
    assert [layer.name for layer in program.layers] == ["a+s", "b", "c+t"]
    rng = np.random.default_rng(1)
    memory = bytearray(program.memory_bytes)
    ofmaps, snapshots = [], []
    for layer in program.layers:
        ofmaps.append(rng.integers(-128, 128, (1, *layer.layer.output_shape), dtype=np.int8))
        data = layer.target.pack(ofmaps[-1])
        memory[layer.target.address : layer.target.address + len(data)] = data
        values = rng.integers(0, 1 << 40, spec.SNAPSHOT_BEATS)
        snapshots.append(dict(zip(spec.COUNTER_NAMES, values.tolist(), strict=True)))
        memory[layer.mark_address : layer.mark_address + spec.SNAPSHOT_BYTES] = values.astype("<u8").tobytes()
    results = memory[program.results.start : program.results.stop]
    for index, ofmap in enumerate(ofmaps):
        assert np.array_equal(program.ofmap(index, results), ofmap)
    assert program.snapshots(results) == snapshots
    for address, data in program.segments:
        assert address >= program.results.stop or address + len(data) <= program.results.start


def test_ofmaps_of_several_images_come_out_of_a_concatenation():
    net = network(*PARTS, conv("c", c=16))
    program = compile_network(net, CONFIG, batch=3)
    first, second, _ = program.layers
    whole = np.random.default_rng(2).integers(-128, 128, (3, *SHAPE[:2], 16), dtype=np.int8)
    memory = bytearray(program.memory_bytes)
    source = program.layers[2].sources[0]
    memory[source.address : source.address + source.size_bytes] = source.pack(whole)
    results = memory[program.results.start : program.results.stop]
    assert (first.name, second.name) == ("a", "b")
    assert np.array_equal(program.ofmap(0, results), whole[..., :8])
    assert np.array_equal(program.ofmap(1, results), whole[..., 8:])


def test_a_network_input_that_several_layers_read_is_in_memory_once():
    program = branches()
    (source,) = program.inputs
    assert program.layers[0].sources == (source, source) and program.layers[1].sources == (source,)
    image = np.random.default_rng(3).integers(-128, 128, (1, *SHAPE), dtype=np.int8)
    memory = program.image([image])
    assert memory[source.address : source.address + source.size_bytes] == source.pack(image)
    assert predict(CONFIG, program.commands).snapshots[0]["add.done"] == image.size


@pytest.mark.parametrize("first", ["a", ""])
def test_fields_follow_the_order_of_an_additions_inputs(first):
    """What the strips make is scaled as the input that it is, what is in memory as the other one."""
    inputs = (first, "" if first else "a")
    net = network(conv("a"), add("s", *inputs))
    (fields,) = residuals(compile_network(net, CONFIG))
    own, other = (1 << 30, 0), (3 << 28, 1)
    if not first:
        own, other = other, own
    assert (fields["multiplier"], fields["shift"]) == own
    assert (fields["residual_multiplier"], fields["residual_shift"]) == other
    assert (fields["sum_multiplier"], fields["sum_shift"]) == (5 << 28, 19)


@pytest.mark.parametrize("channels", [3, 8])
def test_an_addition_alone_has_two_inputs_of_its_own(channels):
    shape = (*SHAPE[:2], channels)
    net = network(conv("a", m=channels, c=channels), add("s", "a", "", shape=shape), shape=shape)
    program = compile_layers(net, ["s"], CONFIG, batch=2)
    (step,) = program.layers
    assert step.parts == (net.layer("s"),) and program.inputs == step.sources and len(step.sources) == 2
    (fields,) = residuals(program)
    assert fields["address_offset"] == (step.sources[1].address - step.target.address) % (1 << 32)
    assert (fields["multiplier"], fields["residual_multiplier"]) == net.layer("s").input_multipliers
    assert predict(CONFIG, program.commands).snapshots[0]["add.done"] == 2 * channels * SHAPE[0] * SHAPE[1]


def test_residuals_are_turned_off_for_the_layer_after():
    net = network(conv("a"), add("s", "a", ""), conv("b"))
    enabled, current = [], 0
    for name, fields in compile_network(net, CONFIG).commands:
        current = fields["enable"] if name == "drain.residual" else current
        if name in ("drain.strip", "mark"):
            enabled.append((name, current))
    first = enabled.index(("mark", 1))
    assert set(enabled[:first]) == {("drain.strip", 1)} and set(enabled[first + 1 : -1]) == {("drain.strip", 0)}


def test_only_what_is_loaded_later_is_announced():
    """The layer that only an addition reads gives no tokens: marks keep the order."""
    net = network(conv("a"), conv("b", ""), add("s", "b", "a"))
    program = compile_network(net, CONFIG)
    assert all(fields["signal_written"] == 0 for name, fields in program.commands if name == "drain.strip")


def test_a_concatenation_alone_is_refused():
    with pytest.raises(NetworkError, match=r"^layers to run must compute something, not 'k', which concatenates$"):
        compile_layers(network(*PARTS), ["a", "k"], CONFIG)
