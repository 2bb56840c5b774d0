"""The built-in networks: published shapes, weights made late and reproducibly, digits recognised."""

import dataclasses
import hashlib

import numpy as np
import pytest

from compiler import networks
from compiler.graph import Conv, FullyConnected, Network, NetworkError, Quantisation, Weighted
from compiler.networks import layer_input, layer_inputs, network, network_input


def made(layer):
    return isinstance(vars(layer)["_filters"], np.ndarray)


def test_lenet5_shapes():
    net = network("lenet5")
    assert [(layer.name, layer.output_shape) for layer in net.layers] == [
        ("conv1", (28, 28, 6)),
        ("pool1", (14, 14, 6)),
        ("conv2", (10, 10, 16)),
        ("pool2", (5, 5, 16)),
        ("fc1", (1, 1, 120)),
        ("fc2", (1, 1, 84)),
        ("fc3", (1, 1, 10)),
    ]
    assert net.macs == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 25 * 6 + 400 * 120 + 120 * 84 + 84 * 10


def test_lenet5_recognises_digits():
    images, labels = networks.digits()
    assert (images.shape, images.dtype, labels.shape) == ((450, 28, 28, 1), np.int8, (450,))
    assert min(np.bincount(labels, minlength=10)) >= 40  # every digit is tested
    scores = network("lenet5").reference(images)["fc3"].reshape(450, 10)
    assert np.mean(scores.argmax(axis=1) == labels) >= 0.975


def test_lenet5_is_quantised_per_channel_and_data_are_small():
    net = network("lenet5")
    for layer in net.layers:
        if isinstance(layer, Conv):
            assert len(set(layer.multiplier)) == layer.output_shape[2]
            assert (np.abs(layer.filters.astype(int)).max(axis=(1, 2, 3)) == 127).all()
        if isinstance(layer, FullyConnected):
            assert len(set(layer.multiplier)) == 1
            assert np.abs(layer.filters.astype(int)).max() == 127
    sizes = [(networks.DATA / name).stat().st_size for name in ("lenet5.npz", "digits.npz")]
    assert sum(sizes) < 300_000


def test_alexnet_is_caffes():
    net = network("alexnet")
    convs = [layer for layer in net.layers if isinstance(layer, Conv)]
    assert [(c.name, c.filter_shape, c.groups, c.output_shape) for c in convs] == [
        ("conv1", (96, 11, 11, 3), 1, (55, 55, 96)),
        ("conv2", (256, 5, 5, 48), 2, (27, 27, 256)),
        ("conv3", (384, 3, 3, 256), 1, (13, 13, 384)),
        ("conv4", (384, 3, 3, 192), 2, (13, 13, 384)),
        ("conv5", (256, 3, 3, 192), 2, (13, 13, 256)),
    ]
    # published operation counts, in millions, as in the Eyeriss papers
    assert [round(c.macs / 1e6) for c in convs] == [105, 224, 150, 112, 75]
    assert net.macs - sum(c.macs for c in convs) == 9216 * 4096 + 4096 * 4096 + 4096 * 1000
    assert net.layer("fc6").input_shape == (6, 6, 256)


def test_alexnet_makes_weights_late():
    net = network("alexnet")
    net.layer("conv5").reference(layer_input(net, "conv5", 1))
    assert [layer.name for layer in net.layers if isinstance(layer, Weighted) and made(layer)] == ["conv5"]


def test_alexnet_is_the_same_everywhere():
    net = network("alexnet")
    layer = net.layer("conv3")
    digest = hashlib.sha256()
    for array in (layer.filters, layer.bias, layer.multiplier, layer.shift, layer_input(net, "conv3", 2)):
        digest.update(np.ascontiguousarray(array).astype("<i8").tobytes())
    assert digest.hexdigest() == "2d77e55d45989934ed9f5973722d570800cbf100c5cc79c2805613e7bc6a730b"


def test_alexnet_uses_the_int8_range():
    net = network("alexnet")
    for name, ofmap in net.reference(network_input(net, 1)).items():
        positive = ofmap[ofmap > -128]
        assert np.mean(ofmap == 127) < 0.03, name
        assert np.std(positive.astype(float)) > 25, name
        if name.startswith("conv") or name in ("fc6", "fc7"):
            assert 0.4 < np.mean(ofmap == -128) < 0.6, name


@pytest.mark.parametrize(("name", "shape", "zero_point"), [("conv2", (14, 14, 6), -128), ("fc1", (5, 5, 16), -128)])
def test_layer_input_is_relu_like(name, shape, zero_point):
    net = network("lenet5")
    fmap = layer_input(net, name, 3)
    assert (fmap.shape, fmap.dtype, fmap.min()) == ((3, *shape), np.int8, zero_point)
    assert 0.4 < np.mean(fmap == zero_point) < 0.6
    np.testing.assert_array_equal(layer_input(net, name, 1)[0], fmap[0])
    assert not np.array_equal(fmap[0], fmap[1])


def test_layer_input_follows_the_zero_point():
    source = network("lenet5")
    layer = dataclasses.replace(source.layer("conv2"), input_zero_point=20)
    net = Network(name="n", input_shape=(14, 14, 6), input_quantisation=Quantisation(1.0, 20), layers=(layer,))
    fmap = layer_input(net, "conv2", 2)
    assert fmap.min() == 20
    assert 0.4 < np.mean(fmap == 20) < 0.6


def test_layer_inputs_has_one_ifmap_for_each_input():
    net = network("googlenet")
    fmaps = layer_inputs(net, "inception_3a", 2)
    assert [(fmap.shape, fmap.dtype) for fmap in fmaps] == [((2, 28, 28, c), np.int8) for c in (64, 128, 32, 32)]
    assert net.layer("inception_3a").reference(*fmaps).shape == (2, 28, 28, 256)
    assert not np.array_equal(fmaps[2], fmaps[3])
    (only,) = layer_inputs(net, "conv2", 1)
    np.testing.assert_array_equal(only, layer_input(net, "conv2", 1))
    first, second = layer_inputs(network("resnet8"), "conv2", 1)
    assert first.shape == second.shape == (1, 32, 32, 16)


def test_single_layer_uses_the_int8_range():
    single = network("conv:C=8,M=8,H=9,W=9,R=3,S=3")
    assert single.layers[0].reference(layer_input(single, "conv", 2)).std() > 25


def test_network_input():
    images, _ = networks.digits()
    np.testing.assert_array_equal(network_input(network("lenet5"), 3), images[:3])
    net = network("alexnet")
    np.testing.assert_array_equal(network_input(net, 2), layer_input(net, "conv1", 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: network("lenet6"),
            "network must be one of lenet5, alexnet, vgg16, googlenet, resnet50, mobilenet_v1, mobilenet_v1_025, "
            "resnet8 or a layer such as conv:C=16,..., not 'lenet6'",
        ),
        (
            lambda: layer_input(network("lenet5"), "fc9", 1),
            "layer of network lenet5 must be one of conv1, pool1, conv2, pool2, fc1, fc2, fc3, not 'fc9'",
        ),
        (lambda: layer_input(network("lenet5"), "fc1", 0), "batch must be from 1 up, not 0"),
        (lambda: network_input(network("lenet5"), 451), "batch must be from 1 to 450, not 451"),
    ],
)
def test_errors(call, message):
    with pytest.raises(NetworkError) as error:
        call()
    assert str(error.value) == message
