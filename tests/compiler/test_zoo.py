"""The published networks: parameters, operations, shapes as published, order as the compiler needs it, int8 range."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from compiler.graph import Add, Concat, Conv, FullyConnected, Pool, Weighted
from compiler.networks import NETWORKS, network, network_input
from compiler.zoo_builder import Builder

SHARED = Path(__file__).parents[3] / "shared"
PUBLISHED = [name for name in NETWORKS if name != "lenet5"]


def weighted(net):
    return [layer for layer in net.layers if isinstance(layer, Weighted)]


def geometry(conv):
    """Groups, channels and filters of each, ofmap, filter size and stride of a convolution."""
    m, r, s, depth = conv.filter_shape
    return conv.groups, depth, m // conv.groups, *conv.output_shape[:2], r, s, conv.stride[0]


@pytest.mark.parametrize(
    ("name", "parameters", "per_conv_channel"),
    [
        ("alexnet", 60_965_224, 1),  # Caffe's bvlc_alexnet
        ("vgg16", 138_357_544, 1),  # torchvision, VGG16_Weights
        ("resnet50", 25_557_032, 2),  # torchvision, ResNet50_Weights: scale and offset of batch normalisation
        ("mobilenet_v1", 4_253_864, 4),  # Keras, MobileNet: scale, offset, mean and variance
    ],
)
def test_parameters_are_the_published_ones(name, parameters, per_conv_channel):
    count = 0
    for layer in weighted(network(name)):
        beside_filters = per_conv_channel if isinstance(layer, Conv) else 1
        count += math.prod(layer.filter_shape) + beside_filters * layer.filter_shape[0]
    assert count == parameters


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("vgg16", 15_470),  # torchvision: 15.47 "GFLOPS", which counts multiply-accumulates
        ("resnet50", 4_089),  # torchvision: 4.089
        ("mobilenet_v1", 569),  # Howard et al., table 8
    ],
)
def test_macs_are_the_published_ones(name, millions):
    assert round(network(name).macs / 1e6) == millions


def test_vgg16_conv_macs():
    convs = [layer for layer in weighted(network("vgg16")) if isinstance(layer, Conv)]
    assert len(convs) == 13
    assert sum(layer.macs for layer in convs) == 15_346_630_656  # 15.3 G: Sze et al., Proc. IEEE 2017, table II


def test_googlenet_macs_are_the_papers():
    # Szegedy et al., table 1, "ops" in millions, some rounded and some cut. Two rows do not fit their own shapes: the
    # first convolution (34 M; 7 x 7 x 3 x 64 x 112 x 112 are 118 M) and 5a (54 M; 32 channels before 5 x 5 make 51 M).
    paper = {"conv2": 360, "3a": 128, "3b": 304, "4a": 73, "4b": 88, "4c": 100, "4d": 119, "4e": 170, "5b": 71, "fc": 1}
    ours = dict.fromkeys(paper, 0) | {"conv1": 0, "5a": 0}
    for layer in network("googlenet").layers:
        key = next((key for key in ours if key in layer.name), None)
        if key:
            ours[key] += layer.macs
    for key, millions in paper.items():
        assert abs(ours[key] / 1e6 - millions) < 1, key
    assert (ours["conv1"], ours["5a"]) == (7 * 7 * 3 * 64 * 112 * 112, 7 * 7 * 1_042_432)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet50", "mobilenet_v1", "mobilenet_v1_025", "resnet8"])
def test_shapes_are_those_of_the_estimate(name):
    path = SHARED / "mapping_estimate.py"
    if not path.exists():
        pytest.skip("the estimate ../shared/mapping_estimate.py is absent")
    spec = importlib.util.spec_from_file_location("mapping_estimate", path)
    estimate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(estimate)
    layers = estimate.mobilenet_v1(0.25, 96) if name == "mobilenet_v1_025" else getattr(estimate, name)()
    ours = [layer for layer in weighted(network(name)) if isinstance(layer, Conv)]
    assert sorted(geometry(layer) for layer in ours) == sorted(tuple(layer[1:]) for layer in layers)
    if name != "resnet8":
        assert {layer.name for layer in ours} == {layer[0] for layer in layers}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "file"), [("resnet8", "ic01_resnet8_int8"), ("mobilenet_v1_025", "vww01_mobilenetv1_025_int8")]
)
def test_shapes_are_mlperf_tinys(name, file):
    schema = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")
    path = SHARED / "data" / "mlperf_tiny" / f"{file}.tflite"
    if not path.exists():
        pytest.skip(f"the network {path.name} of ../shared/data is absent")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    graph, codes, kinds = model.subgraphs[0], schema.BuiltinOperator, []
    theirs = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        kinds.append(kind)
        if kind in (codes.CONV_2D, codes.DEPTHWISE_CONV_2D):
            ifmap, filters, ofmap = (
                tuple(map(int, graph.tensors[tensor].shape)) for tensor in (*operator.inputs[:2], operator.outputs[0])
            )
            assert operator.builtinOptions.padding == schema.Padding.SAME
            shape = (ifmap[1:], filters[1:3], ofmap[1:], operator.builtinOptions.strideH)
            theirs.append((*shape, operator.builtinOptions.fusedActivationFunction != 0))
    net = network(name)
    convs = [layer for layer in net.layers if isinstance(layer, Conv)]
    ours = [
        (c.input_shape, c.filter_shape[1:3], c.output_shape, c.stride[0], c.output_zero_point == -128) for c in convs
    ]
    assert sorted(ours) == sorted(theirs)
    for kind, layer in ((codes.ADD, Add), (codes.FULLY_CONNECTED, FullyConnected), (codes.AVERAGE_POOL_2D, Pool)):
        assert kinds.count(kind) == sum(isinstance(one, layer) for one in net.layers)


def test_padding_is_the_frameworks():
    assert network("mobilenet_v1").layer("conv1").padding == (0, 1, 0, 1)  # TFLite's SAME
    assert network("resnet8").layer("conv3a").padding == (0, 1, 0, 1)
    resnet = network("resnet50")
    assert [resnet.layer(name).padding[0] for name in ("conv1", "conv3_1b", "conv3_1s")] == [3, 1, 0]
    pools = [network("googlenet").layer(f"pool{number}") for number in range(1, 6)]
    # Szegedy et al., table 1, output sizes; Caffe rounds the sizes of pools up, beyond the last row and column
    assert [pool.output_shape[0] for pool in pools] == [56, 28, 14, 7, 1]
    assert [pool.padding for pool in pools] == [(0, 1, 0, 1)] * 4 + [(0, 0, 0, 0)]


@pytest.mark.parametrize(("name", "count"), [("resnet50", 16), ("resnet8", 3)])
def test_additions_follow_their_last_producer(name, count):
    net = network(name)
    before = dict(zip((layer.name for layer in net.layers[1:]), net.layers, strict=False))
    additions = [layer for layer in net.layers if isinstance(layer, Add)]
    assert len(additions) == count
    for layer in additions:
        main, shortcut = net.sources(layer.name)
        assert main is before[layer.name]
        assert (main.output_zero_point, layer.output_zero_point) == (0, -128)  # ReLU after the addition only
        assert net.layers.index(shortcut) < net.layers.index(main) - 1
    readers = [source.name for layer in net.layers for source in net.sources(layer.name) if source]
    assert all(readers.count(net.sources(layer.name)[0].name) == 1 for layer in additions)


def test_concatenations_follow_their_branches():
    net = network("googlenet")
    wholes = [layer for layer in net.layers if isinstance(layer, Concat)]
    # Szegedy et al., table 1, output sizes of the inception modules
    assert [layer.output_shape[2] for layer in wholes] == [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    for layer in wholes:
        branches = net.sources(layer.name)
        assert [branch.name.removeprefix(layer.name) for branch in branches] == ["_1x1", "_3x3", "_5x5", "_pool_proj"]
        assert net.layers.index(layer) == net.layers.index(branches[-1]) + 1
        assert all(branch.output_shape[2] % 8 == 0 for branch in branches)  # what concatenating without copies takes


def test_depthwise_layers():
    layers = [layer for layer in network("mobilenet_v1").layers if layer.name.startswith("dw")]
    assert len(layers) == 13
    assert all(layer.filter_shape == (layer.groups, 3, 3, 1) for layer in layers)
    assert all(layer.groups == layer.input_shape[2] for layer in layers)


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_are_made_late_and_activations_use_the_int8_range(name):
    net = network(name)
    assert not any(isinstance(vars(layer)["_filters"], np.ndarray) for layer in weighted(net))
    for layer, ofmap in net.reference(network_input(net, 1)).items():
        if ofmap.size < 50:
            continue  # a few classes only
        zero_point = net.layer(layer).zero_point_after(-128)
        rms = np.sqrt(np.mean((ofmap.astype(float) - zero_point) ** 2))
        assert 20 < rms < 125, (layer, rms)
        assert np.mean(ofmap == 127) < 0.03, layer


def test_builder_reads_the_layer_before_or_the_one_named():
    net = Builder("n", (8, 8, 3))
    net.conv("a", 8, 3)
    net.maximum("p", 2, 2)
    net.conv("b", 8, 1, stride=2, source="a")
    net.concat("k", ("p", "b"))
    net.fc("f", 5)
    made = net.network()
    assert [[source and source.name for source in made.sources(layer.name)] for layer in made.layers] == [
        [None],
        ["a"],
        ["a"],
        ["p", "b"],
        ["k"],
    ]
