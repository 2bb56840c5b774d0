"""The layer graph: shapes, operation counts, checks, references, and layers written as text."""

import dataclasses

import numpy as np
import pytest

from compiler.graph import Conv, FullyConnected, Network, NetworkError, Pool, Quantisation, deferred, parse_layer
from golden import operators


def filters(*shape):
    return np.random.default_rng(len(shape)).integers(-128, 128, shape, dtype=np.int8)


def conv(**changes):
    fields = {
        "name": "c",
        "input_shape": (9, 8, 6),
        "filters": filters(4, 3, 2, 3),
        "bias": np.array([1000, -2000, 3000, -4000]),
        "input_zero_point": 5,
        "output_zero_point": -6,
        "multiplier": np.array([3 << 29, 1 << 30, (1 << 31) - 1, 5 << 28]),
        "shift": np.array([-7, -8, -9, -6]),
        "stride": (2, 1),
        "padding": (1, 0, 1, 1),
        "groups": 2,
        "minimum": -100,
        "maximum": 99,
    }
    return Conv(**fields | changes)


def fully_connected(**changes):
    requantisation = {"input_zero_point": -6, "output_zero_point": 0, "multiplier": 1 << 30, "shift": -9}
    return FullyConnected(
        **{"name": "f", "input_shape": (4, 9, 4), "filters": filters(7, 144)} | requantisation | changes
    )


def pool(**changes):
    fields = {"name": "p", "input_shape": (4, 9, 4), "kind": "max", "window": (2, 3), "stride": (2, 2)}
    return Pool(**fields | changes)


def network(*layers, **changes):
    fields = {"name": "n", "input_shape": (9, 8, 6), "input_quantisation": Quantisation(0.5, 5), "layers": layers}
    return Network(**fields | changes)


def ifmap(layer, batch=2):
    return np.random.default_rng(9).integers(-128, 128, (batch, *layer.input_shape), dtype=np.int8)


def test_conv_shape_and_macs():
    layer = conv()
    assert layer.output_shape == (4, 9, 4)
    assert layer.macs == (4 * 9 * 4) * (3 * 2 * 3)
    assert layer.filter_shape == (4, 3, 2, 3)
    assert conv(dilation=(2, 3)).output_shape == (3, 7, 4)
    assert repr(layer) == "Conv(c: (9, 8, 6) -> (4, 9, 4))"


def test_conv_reference_uses_every_field():
    layer = conv()
    expected = operators.conv2d(
        ifmap(layer),
        layer.filters,
        [1000, -2000, 3000, -4000],
        multiplier=[3 << 29, 1 << 30, (1 << 31) - 1, 5 << 28],
        shift=[-7, -8, -9, -6],
        input_zero_point=5,
        output_zero_point=-6,
        stride=(2, 1),
        padding=(1, 0, 1, 1),
        groups=2,
        minimum=-100,
        maximum=99,
    )
    ofmap = layer.reference(ifmap(layer))
    np.testing.assert_array_equal(ofmap, expected)
    others = {
        "bias": None,
        "input_zero_point": 4,
        "output_zero_point": -5,
        "multiplier": 1 << 30,
        "shift": -7,
        "padding": (0, 1, 1, 1),
        "minimum": -10,
        "maximum": 10,
    }
    for field, value in others.items():
        assert not np.array_equal(conv(**{field: value}).reference(ifmap(layer)), ofmap), field
    assert conv(dilation=(1, 2), padding=(1, 0, 1, 2)).reference(ifmap(layer)).shape == ofmap.shape


def test_fully_connected():
    layer = fully_connected()
    assert (layer.output_shape, layer.macs) == ((1, 1, 7), 7 * 144)
    assert layer.multiplier.tolist() == [1 << 30] * 7
    ofmap = layer.reference(ifmap(layer))
    assert ofmap.shape == (2, 1, 1, 7)
    same = layer.as_conv()
    assert (same.filter_shape, same.macs, same.output_shape) == ((7, 4, 9, 4), layer.macs, layer.output_shape)
    np.testing.assert_array_equal(same.reference(ifmap(layer)), ofmap)


@pytest.mark.parametrize(("kind", "operator"), [("max", operators.max_pool2d), ("average", operators.average_pool2d)])
def test_pool(kind, operator):
    layer = pool(kind=kind, padding=(1, 0, 0, 2), minimum=-50, maximum=60)
    assert (layer.output_shape, layer.macs) == ((2, 5, 4), 0)
    expected = operator(ifmap(layer), (2, 3), stride=(2, 2), padding=(1, 0, 0, 2), minimum=-50, maximum=60)
    np.testing.assert_array_equal(layer.reference(ifmap(layer)), expected)


def test_psum_range_is_reached():
    layer = conv(padding=(0, 0, 0, 0), groups=1, filters=filters(4, 9, 8, 6))
    low, high = layer.psum_range
    extremes = []
    for weights in layer.filters:
        best = np.where(weights > 0, 127, -128).astype(np.int8)
        worst = np.where(weights > 0, -128, 127).astype(np.int8)
        psums = operators.conv2d_psums(np.stack([best, worst]), layer.filters, 5)
        extremes += [psums.min(), psums.max()]
    assert (low, high) == (min(extremes), max(extremes))


def test_layers_are_immutable():
    layer = conv()
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.groups = 1
    for array in (layer.filters, layer.bias, layer.multiplier, layer.shift):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    source = filters(4, 3, 2, 3)
    layer = conv(filters=source)
    source[:] = 0
    assert layer.filters.any()
    assert dataclasses.replace(layer, groups=2, name="other").filters.any()


def test_deferred_filters_are_made_once_and_late():
    made = []

    def make():
        made.append(1)
        return filters(4, 3, 2, 3)

    layer = conv(filters=deferred((4, 3, 2, 3), make))
    assert (layer.output_shape, layer.macs, str(layer), made) == ((4, 9, 4), 2592, str(conv()), [])
    np.testing.assert_array_equal(layer.reference(ifmap(layer)), conv().reference(ifmap(layer)))
    assert layer.filters is layer.filters
    assert made == [1]


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (conv, {"name": ""}, "name of a layer must be text that is not empty, not ''"),
        (conv, {"input_shape": (9, 8)}, "input_shape of layer c must be a tuple of 3 integers from 1 up, not (9, 8)"),
        (conv, {"inputs": ("a", "b")}, "inputs of layer c must be a tuple of at most one layer name, not ('a', 'b')"),
        (conv, {"minimum": -129}, "minimum of layer c must be an integer from -128 to 127, not -129"),
        (conv, {"maximum": -101}, "maximum of layer c must be an integer from -100 to 127, not -101"),
        (
            conv,
            {"filters": np.zeros((4, 3, 2, 3))},
            "filters of layer c must be an int8 array (M, R, S, C / groups), not float64 of shape (4, 3, 2, 3)",
        ),
        (
            conv,
            {"filters": filters(4, 18)},
            "filters of layer c must be an int8 array (M, R, S, C / groups), not int8 of shape (4, 18)",
        ),
        (conv, {"input_zero_point": 128}, "input_zero_point of layer c must be an integer from -128 to 127, not 128"),
        (conv, {"output_zero_point": 0.5}, "output_zero_point of layer c must be an integer from -128 to 127, not 0.5"),
        (conv, {"filter_zero_point": 3}, "filter_zero_point of layer c must be 0, not 3"),
        (conv, {"multiplier": -1}, "multiplier of layer c must be from 0 to 2147483647, not -1"),
        (conv, {"shift": np.array([0, 0, 31, 0])}, "shift of layer c must be from -31 to 30, not 31"),
        (conv, {"bias": 1 << 31}, "bias of layer c must be from -2147483648 to 2147483647, not 2147483648"),
        (
            conv,
            {"bias": np.zeros(4)},
            "bias of layer c must be one integer or an array of 4, not float64 of shape (4,)",
        ),
        (conv, {"stride": (0, 1)}, "stride of layer c must be a tuple of 2 integers from 1 up, not (0, 1)"),
        (conv, {"stride": 1}, "stride of layer c must be a tuple of 2 integers from 1 up, not 1"),
        (conv, {"dilation": (1, True)}, "dilation of layer c must be a tuple of 2 integers from 1 up, not (1, True)"),
        (
            conv,
            {"padding": (0, 0, -1, 0)},
            "padding of layer c must be a tuple of 4 integers from 0 up, not (0, 0, -1, 0)",
        ),
        (
            conv,
            {"groups": 3},
            "groups of layer c must be a divisor of C = 6 and M = 4 that leaves the filters' 3 channels, not 3",
        ),
        (
            conv,
            {"groups": 1},
            "groups of layer c must be a divisor of C = 6 and M = 4 that leaves the filters' 3 channels, not 1",
        ),
        (
            conv,
            {"input_shape": (1, 8, 6)},
            "input_shape of layer c must be as large as the (3, 2) window once padded, not (1, 8, 6)",
        ),
        (
            fully_connected,
            {"input_shape": (1, 1, 143)},
            "filters of layer f must be (M, 143) for an ifmap (1, 1, 143), not (7, 144)",
        ),
        (pool, {"kind": "sum"}, "kind of layer p must be max or average, not 'sum'"),
        (pool, {"window": (2, 0)}, "window of layer p must be a tuple of 2 integers from 1 up, not (2, 0)"),
        (
            pool,
            {"padding": (0, 2, 0, 0)},
            "padding of layer p must be less than the window (2, 3) on each side, not (0, 2, 0, 0)",
        ),
        (
            pool,
            {"kind": "average", "input_shape": (32, 32, 1), "window": (16, 17)},
            "window of layer p must be at most 256 pixels to average, not (16, 17)",
        ),
        (
            pool,
            {"window": (5, 1)},
            "input_shape of layer p must be as large as the (5, 1) window once padded, not (4, 9, 4)",
        ),
    ],
)
def test_layer_errors(make, changes, message):
    with pytest.raises(NetworkError) as error:
        make(**changes)
    assert str(error.value) == message


def test_reference_refuses_another_ifmap():
    allowed = "ifmap of layer c must be int8 of shape (N, 9, 8, 6), not"
    with pytest.raises(NetworkError) as error:
        conv().reference(np.zeros((1, 9, 8, 5), np.int8))
    assert str(error.value) == f"{allowed} int8 of shape (1, 9, 8, 5)"
    with pytest.raises(NetworkError) as error:
        conv().reference(np.zeros((1, 9, 8, 6), np.uint8))
    assert str(error.value) == f"{allowed} uint8 of shape (1, 9, 8, 6)"


def test_network_chains_layers():
    first, second, third = conv(), pool(), fully_connected(input_shape=(2, 4, 4), filters=filters(7, 32))
    net = network(first, second, third)
    assert net.macs == first.macs + third.macs
    assert net.layer("p") is second
    assert (net.source("c"), net.source("f")) == (None, second)
    assert [net.input_zero_point(name) for name in "cpf"] == [5, -6, -6]
    fmaps = net.reference(ifmap(first))
    assert list(fmaps) == ["c", "p", "f"]
    chained = third.reference(second.reference(first.reference(ifmap(first))))
    np.testing.assert_array_equal(fmaps["f"], chained)


def test_network_follows_inputs():
    first, second, third = conv(), pool(), fully_connected(inputs=("c",))
    net = network(first, second, third)
    assert net.source("f") is first
    fmaps = net.reference(ifmap(first))
    np.testing.assert_array_equal(fmaps["f"], third.reference(fmaps["c"]))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((), "layers of network n must be a tuple of at least one, not ()"),
        ((conv(), pool(name="c")), "name of a layer must be unique in network n, not 'c' again"),
        ((conv(), pool(inputs=("q",))), "inputs of layer p must be an earlier layer, not 'q'"),
        ((conv(inputs=("p",)), pool()), "inputs of layer c must be an earlier layer, not 'p'"),
        (
            (conv(), pool(input_shape=(4, 9, 5))),
            "input_shape of layer p must be (4, 9, 4), as layer c makes it, not (4, 9, 5)",
        ),
        ((pool(),), "input_shape of layer p must be (9, 8, 6), as the network's input is, not (4, 9, 4)"),
        (
            (conv(), pool(window=(1, 1), stride=(1, 1)), fully_connected(input_zero_point=5)),
            "input_zero_point of layer f must be -6, as layer p makes it, not 5",
        ),
    ],
)
def test_network_errors(layers, message):
    with pytest.raises(NetworkError) as error:
        network(*layers)
    assert str(error.value) == message


def test_unknown_layer():
    with pytest.raises(NetworkError, match=r"^layer of network n must be one of c, p, not 'q'$"):
        network(conv(), pool()).layer("q")


def test_quantisation():
    quantisation = Quantisation(0.5, -3)
    real = np.array([-100.0, -0.3, 0.0, 0.2, 0.3, 7.0, 1000.0])
    assert quantisation.quantise(real).tolist() == [-128, -4, -3, -3, -2, 11, 127]
    assert quantisation.dequantise(np.array([-128, -3, 127], np.int8)).tolist() == [-62.5, 0.0, 65.0]
    with pytest.raises(NetworkError, match=r"^scale must be a finite number above 0, not 0$"):
        Quantisation(0)
    with pytest.raises(NetworkError, match=r"^zero_point must be an integer from -128 to 127, not 200$"):
        Quantisation(1.0, 200)


def test_parse_conv():
    text = "conv:C=16,M=24,H=32,W=31,R=3,S=2,pad=1,stride=2,groups=8,relu=1"
    net = parse_layer(text)
    (layer,) = net.layers
    assert (net.name, layer.name, net.input_shape) == (text, "conv", (32, 31, 16))
    assert layer.filter_shape == (24, 3, 2, 2)
    assert (layer.stride, layer.padding, layer.groups) == ((2, 2), (1, 1, 1, 1), 8)
    assert layer.output_shape == (16, 16, 24)
    assert (layer.output_zero_point, layer.minimum) == (-128, -128)
    again = parse_layer(text).layers[0]
    for field in ("filters", "bias", "multiplier", "shift"):
        np.testing.assert_array_equal(getattr(layer, field), getattr(again, field))


def test_parse_defaults():
    (layer,) = parse_layer("conv:C=3,M=5,H=6,W=7,R=3,S=3").layers
    assert (layer.stride, layer.padding, layer.groups, layer.output_zero_point) == ((1, 1), (0, 0, 0, 0), 1, 0)


def test_parse_other_layers():
    (layer,) = parse_layer("fc:C=400,M=120").layers
    assert (layer.input_shape, layer.filter_shape) == ((1, 1, 400), (120, 400))
    assert len(set(layer.multiplier)) == 1
    for text, kind in (("maxpool", "max"), ("avgpool", "average")):
        (layer,) = parse_layer(f"{text}:C=4,H=8,W=9,R=2,S=3,stride=2,pad=1").layers
        assert (layer.kind, layer.window, layer.stride, layer.padding) == (kind, (2, 3), (2, 2), (1, 1, 1, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lstm:C=4", "kind of layer must be one of conv, fc, maxpool, avgpool, not 'lstm'"),
        ("fc:C=4,N=3", "key of fc must be one of C, M, relu, not 'N'"),
        ("fc:C=4,C=4,M=1", "C of fc must be given once, not again as '4'"),
        ("fc:C=4", "M of fc must be given as M=..., not left out"),
        ("fc", "C of fc must be given as C=..., not left out"),
        ("fc:C=4,M=0", "M of fc must be an integer from 1 up, not '0'"),
        ("fc:C=4,M=x", "M of fc must be an integer from 1 up, not 'x'"),
        ("fc:C=4,M", "M of fc must be an integer from 1 up, not ''"),
        ("fc:C=4,M=4,relu=2", "relu of fc must be 0 or 1, not '2'"),
        ("maxpool:C=4,H=4,W=4,R=2,S=2,pad=-1", "pad of maxpool must be an integer from 0 up, not '-1'"),
        (
            "conv:C=4,M=6,H=4,W=4,R=2,S=2,groups=4",
            "groups of conv must be a divisor of C = 4 and M = 6, not 4",
        ),
        (
            "conv:C=4,M=6,H=4,W=4,R=5,S=2",
            "input_shape of layer conv must be as large as the (5, 2) window once padded, not (4, 4, 4)",
        ),
    ],
)
def test_parse_errors(text, message):
    with pytest.raises(NetworkError) as error:
        parse_layer(text)
    assert str(error.value) == message
