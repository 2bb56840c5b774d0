"""The golden operators against the test vectors of CMSIS-NN, byte for byte."""

import numpy as np
import pytest

from compiler.graph import Conv, FullyConnected, NetworkError
from tests import cmsis_nn

pytestmark = pytest.mark.shared


@pytest.mark.parametrize("name", cmsis_nn.SUPPORTED)
def test_vector(name):
    vector = cmsis_nn.read(name)
    ofmap = vector.layer.reference(vector.ifmap)
    assert ofmap.dtype == np.int8
    np.testing.assert_array_equal(ofmap, vector.ofmap)


@pytest.mark.parametrize("name", cmsis_nn.FULLY_CONNECTED)
def test_fully_connected_as_conv(name):
    vector = cmsis_nn.read(name)
    assert isinstance(vector.layer, FullyConnected)
    np.testing.assert_array_equal(vector.layer.as_conv().reference(vector.ifmap), vector.ofmap)


@pytest.mark.parametrize("name", cmsis_nn.REFUSED)
def test_filter_zero_point_is_refused(name):
    with pytest.raises(NetworkError, match=rf"^filter_zero_point of layer {name} must be 0, not 15$"):
        cmsis_nn.read(name)


def test_depthwise_vectors_are_depthwise():
    layers = [cmsis_nn.read(name).layer for name in cmsis_nn.DEPTHWISE]
    assert all(isinstance(layer, Conv) and layer.groups == layer.input_shape[2] for layer in layers)
    assert {layer.output_shape[2] // layer.input_shape[2] for layer in layers} == {1, 3, 8}


def test_no_vector_is_left_out():
    cmsis_nn.read("basic")  # skips without the folder
    kinds = cmsis_nn.names()
    assert set(kinds) == {*cmsis_nn.SUPPORTED, *cmsis_nn.REFUSED}
    assert len(kinds) == 43
