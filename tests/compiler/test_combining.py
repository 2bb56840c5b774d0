"""Layers of several feature maps: addition against TFLite for microcontrollers, concatenation, checks, in a network."""

import numpy as np
import pytest

from compiler.graph import Add, Concat, Conv, Network, NetworkError, Pool, Quantisation, addition_scales
from golden import operators

SHAPE = (3, 4, 8)


def add(**changes):
    fields = {
        "name": "a",
        "input_shape": SHAPE,
        "inputs": ("left", "right"),
        "input_zero_points": (-128, 3),
        "output_zero_point": -7,
        "minimum": -100,
        "maximum": 90,
    }
    return Add(**fields | addition_scales(0.75, 0.5, 1.0) | changes)


def concat(**changes):
    fields = {"name": "k", "input_shape": SHAPE, "inputs": ("left", "right", "third"), "channels": (8, 16, 3)}
    return Concat(**fields | changes)


def conv(name, m, zero_point, inputs=("",)):
    filters = np.random.default_rng(m).integers(-127, 128, (m, 1, 1, 8), dtype=np.int8)
    scaling = {"multiplier": 1 << 30, "shift": -8, "input_zero_point": 5, "output_zero_point": zero_point}
    return Conv(name=name, input_shape=SHAPE, inputs=inputs, filters=filters, **scaling)


def network(*layers):
    return Network(name="n", input_shape=SHAPE, input_quantisation=Quantisation(0.5, 5), layers=layers)


def fmaps(*channels, batch=2):
    rng = np.random.default_rng(7)
    return [rng.integers(-128, 128, (batch, *SHAPE[:2], c), dtype=np.int8) for c in channels]


def tflite_add(first, second, scales, zero_points, activation):
    """Return what TFLite for microcontrollers makes of one ADD; scales and zero points of inputs and output."""
    schema = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")
    from tflite_micro.python.tflite_micro import runtime

    flatbuffers = pytest.importorskip("flatbuffers")
    tensors = []
    for name, scale, zero_point in zip(("first", "second", "sum"), scales, zero_points, strict=True):
        tensor, quantisation = schema.TensorT(), schema.QuantizationParametersT()
        quantisation.scale, quantisation.zeroPoint = [scale], [zero_point]
        tensor.name, tensor.shape, tensor.type = name, list(first.shape), schema.TensorType.INT8
        tensor.quantization, tensor.buffer = quantisation, 0
        tensors.append(tensor)
    operator, options, code = schema.OperatorT(), schema.AddOptionsT(), schema.OperatorCodeT()
    options.fusedActivationFunction = getattr(schema.ActivationFunctionType, activation)
    operator.inputs, operator.outputs = [0, 1], [2]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.AddOptions, options
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 1
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, [operator], [0, 1], [2]
    model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], [code], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    interpreter = runtime.Interpreter.from_bytes(bytes(builder.Output()), arena_size=1 << 20)
    interpreter.set_input(first, 0)
    interpreter.set_input(second, 1)
    interpreter.invoke()
    return interpreter.get_output(0)


@pytest.mark.parametrize("seed", range(20))
def test_addition_is_tflites(seed):
    rng = np.random.default_rng(seed)
    scales = [float(scale) for scale in (2.0 ** rng.uniform(-9, 1, 3)).astype(np.float32)]  # files keep 32 bits of it
    zero_points = [int(zero_point) for zero_point in rng.integers(-128, 128, 3)]
    first, second = (rng.integers(-128, 128, (1, 9, 8, 7), dtype=np.int8) for _ in range(2))
    activation = ("NONE", "RELU")[seed % 2]
    layer = add(
        input_shape=first.shape[1:],
        input_zero_points=tuple(zero_points[:2]),
        output_zero_point=zero_points[2],
        minimum=zero_points[2] if activation == "RELU" else -128,
        maximum=127,
        **addition_scales(*scales),
    )
    expected = tflite_add(first, second, scales, zero_points, activation)
    np.testing.assert_array_equal(layer.reference(first, second), expected)


def test_addition_is_within_a_step_of_the_real_sum():
    first, second = fmaps(8, 8)
    ofmap = add().reference(first, second)
    real = 0.75 * (first.astype(float) + 128) + 0.5 * (second.astype(float) - 3)
    assert np.abs(ofmap - np.clip(real - 7, -100, 90)).max() <= 0.501  # half a step, and 1 / 1024 for 20 bits of scale


def test_add_uses_every_field():
    first, second = fmaps(8, 8)
    ofmap = add().reference(first, second)
    others = {
        "input_zero_points": (-120, 3),
        "input_multipliers": (1 << 30, 1 << 30),
        "input_shifts": (-1, -1),
        "output_zero_point": 0,
        "output_multiplier": (1 << 31) - 1,
        "output_shift": -20,
        "minimum": -20,
        "maximum": 20,
    }
    for field, value in others.items():
        assert not np.array_equal(add(**{field: value}).reference(first, second), ofmap), field
    assert not np.array_equal(add().reference(second, first), ofmap)


def test_shapes_and_macs():
    assert (add().output_shape, add().input_shapes, add().macs) == (SHAPE, (SHAPE, SHAPE), 0)
    assert concat().input_shapes == (SHAPE, (3, 4, 16), (3, 4, 3))
    assert (concat().output_shape, concat().macs) == ((3, 4, 27), 0)
    assert repr(concat()) == "Concat(k: (3, 4, 8) -> (3, 4, 27))"


def test_concat_keeps_the_order():
    first, second, third = fmaps(8, 16, 3)
    ofmap = concat().reference(first, second, third)
    np.testing.assert_array_equal(ofmap[..., :8], first)
    np.testing.assert_array_equal(ofmap[..., 8:24], second)
    np.testing.assert_array_equal(ofmap[..., 24:], third)


def test_network_adds_and_concatenates():
    left, right = conv("left", 8, -128), conv("right", 8, 3)
    pool = Pool(name="p", input_shape=SHAPE, kind="max", window=(1, 1), stride=(1, 1))
    whole = Concat(name="k", input_shape=SHAPE, inputs=("p", "a"), channels=(8, 8))
    net = network(left, right, add(), pool, whole)
    assert net.sources("a") == (left, right)
    assert (net.source("a"), net.sources("left"), net.sources("p")) == (left, (None,), (net.layer("a"),))
    assert [net.input_zero_point(layer.name) for layer in net.layers] == [5, 5, -128, -7, -7]
    ifmap = fmaps(8)[0]
    made = net.reference(ifmap)
    expected = operators.add(
        left.reference(ifmap),
        right.reference(ifmap),
        **addition_scales(0.75, 0.5, 1.0),
        input_zero_points=(-128, 3),
        output_zero_point=-7,
        minimum=-100,
        maximum=90,
    )
    np.testing.assert_array_equal(made["a"], expected)
    np.testing.assert_array_equal(made["k"], np.concatenate([expected, expected], axis=3))


def test_network_adds_its_input():
    net = network(conv("left", 8, -128), add(inputs=("left", ""), input_zero_points=(-128, 5)))
    assert net.sources("a") == (net.layer("left"), None)
    ifmap = fmaps(8)[0]
    made = net.reference(ifmap)
    np.testing.assert_array_equal(made["a"], net.layer("a").reference(made["left"], ifmap))


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (add, {"inputs": ("left",)}, "inputs of layer a must be two different layers, not ('left',)"),
        (add, {"inputs": ("left", "left")}, "inputs of layer a must be two different layers, not ('left', 'left')"),
        (add, {"inputs": ("left", 3)}, "inputs of layer a must be a tuple of layer names, not ('left', 3)"),
        (
            add,
            {"input_zero_points": (0, 128)},
            "input_zero_points of layer a must be a tuple of 2 integers from -128 to 127, not (0, 128)",
        ),
        (
            add,
            {"input_multipliers": (0, 1 << 31)},
            "input_multipliers of layer a must be a tuple of 2 integers from 0 to 2147483647, not (0, 2147483648)",
        ),
        (
            add,
            {"input_shifts": (1, 0)},
            "input_shifts of layer a must be a tuple of 2 integers from -31 to 0, not (1, 0)",
        ),
        (
            add,
            {"output_zero_point": -129},
            "output_zero_point of layer a must be an integer from -128 to 127, not -129",
        ),
        (
            add,
            {"output_multiplier": 0.5},
            "output_multiplier of layer a must be an integer from 0 to 2147483647, not 0.5",
        ),
        (add, {"output_shift": 1}, "output_shift of layer a must be an integer from -31 to 0, not 1"),
        (
            concat,
            {"inputs": ("left",), "channels": (8,)},
            "inputs of layer k must be two or more different layers, not ('left',)",
        ),
        (concat, {"channels": (8, 16)}, "channels of layer k must be a tuple of 3 integers from 1 up, not (8, 16)"),
        (concat, {"channels": (9, 16, 3)}, "channels of layer k must be 8 for the first input, not (9, 16, 3)"),
    ],
)
def test_layer_errors(make, changes, message):
    with pytest.raises(NetworkError) as error:
        make(**changes)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((conv("left", 8, -128), add()), "inputs of layer a must be an earlier layer, not 'right'"),
        (
            (conv("left", 8, -128), conv("right", 9, 3), add()),
            "input_shape of layer a must be (3, 4, 9), as layer right makes it, not (3, 4, 8)",
        ),
        (
            (conv("left", 8, -128), conv("right", 8, 4), add()),
            "input_zero_point of layer a must be 4, as layer right makes it, not 3",
        ),
        (
            (conv("left", 8, 1), conv("right", 8, 2), concat(inputs=("left", "right"), channels=(8, 8))),
            "input_zero_point of layer k must be 2, as layer right makes it, not 1",
        ),
    ],
)
def test_network_errors(layers, message):
    with pytest.raises(NetworkError) as error:
        network(*layers)
    assert str(error.value) == message


def test_reference_refuses_other_ifmaps():
    first, second = fmaps(8, 9)
    with pytest.raises(NetworkError, match=r"^ifmaps of layer a must be 2, not 1$"):
        add().reference(first)
    with pytest.raises(
        NetworkError, match=r"^ifmap of layer a must be int8 of shape \(N, 3, 4, 8\), not int8 of shape"
    ):
        add().reference(first, second)
