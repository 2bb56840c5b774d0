"""The built-in networks and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from compiler import zoo
from compiler.graph import Conv, FullyConnected, Layer, Network, NetworkError, Pool, Quantisation, Shape, parse_layer
from compiler.synthetic import generator, relu_like

DATA = Path(__file__).parent / "data"


def network(name: str) -> Network:
    """Return the built-in network called ``name``, or the single layer that a text such as ``conv:C=16,...`` describes.

    Raises
    ------
    NetworkError
        If there is no such network.
    """
    if ":" in name:
        return parse_layer(name)
    if name not in NETWORKS:
        raise NetworkError(
            f"network must be one of {', '.join(NETWORKS)} or a layer such as conv:C=16,..., not {name!r}"
        )
    return NETWORKS[name]()


def layer_inputs(network: Network, layer: str, batch: int) -> list[np.ndarray]:
    """Return a seeded random ifmap for each input of a layer, as :func:`layer_input`."""
    first = layer_input(network, layer, batch)
    rest = network.layer(layer).input_shapes[1:]
    rng = generator(network.name, layer, "residual")
    return [first, *(rng.integers(-128, 128, (batch, *shape), dtype=np.int8) for shape in rest)]


def layer_input(network: Network, layer: str, batch: int) -> np.ndarray:
    """Return a seeded random ifmap (batch, H, W, C) for one layer, about half of it at the zero point as after ReLU.

    Raises
    ------
    NetworkError
        If the network has no such layer or the batch is not positive.
    """
    _check_batch(batch)
    shape = network.layer(layer).input_shape
    rng = generator(network.name, layer, "ifmap")
    return np.concatenate([relu_like(rng, (1, *shape), network.input_zero_point(layer)) for _ in range(batch)])


def network_input(network: Network, batch: int) -> np.ndarray:
    """Return inputs (batch, H, W, C) of a network: test digits for ``lenet5``, seeded random ones for the others.

    Raises
    ------
    NetworkError
        If the batch is not positive, or larger than the number of test digits.
    """
    if network.name != "lenet5":
        return layer_input(network, network.layers[0].name, batch)
    images, _ = digits()
    _check_batch(batch, len(images))
    return images[:batch]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the handwritten test digits as inputs of ``lenet5``, int8 (450, 28, 28, 1), and their values (450,)."""
    with np.load(DATA / "digits.npz") as file:
        images, labels = file["images"], file["labels"]
    return (images.astype(np.int16) - 128).astype(np.int8)[..., np.newaxis], labels


def lenet5() -> Network:
    """Return LeNet-5 as ``training/lenet5.py`` trained it on handwritten digits."""
    with np.load(DATA / "lenet5.npz") as file:
        data = dict(file)

    def weights(name: str) -> dict[str, Any]:
        fields = ("filters", "bias", "multiplier", "shift", "input_zero_point", "output_zero_point")
        values = {field: data[f"{name}.{field}"] for field in fields}
        return {field: int(value) if field.endswith("zero_point") else value for field, value in values.items()}

    def pool(name: str, input_shape: Shape) -> Pool:
        return Pool(name=name, input_shape=input_shape, kind="max", window=(2, 2), stride=(2, 2))

    layers: tuple[Layer, ...] = (
        Conv(name="conv1", input_shape=(28, 28, 1), padding=(2, 2, 2, 2), **weights("conv1")),
        pool("pool1", (28, 28, 6)),
        Conv(name="conv2", input_shape=(14, 14, 6), **weights("conv2")),
        pool("pool2", (10, 10, 16)),
        FullyConnected(name="fc1", input_shape=(5, 5, 16), **weights("fc1")),
        FullyConnected(name="fc2", input_shape=(1, 1, 120), **weights("fc2")),
        FullyConnected(name="fc3", input_shape=(1, 1, 84), **weights("fc3")),
    )
    quantisation = Quantisation(float(data["input_scale"]), int(data["input_zero_point"]))
    return Network(name="lenet5", input_shape=(28, 28, 1), input_quantisation=quantisation, layers=layers)


#: The built-in networks.
NETWORKS: dict[str, Callable[[], Network]] = {
    "lenet5": lenet5,
    "alexnet": zoo.alexnet,
    "vgg16": zoo.vgg16,
    "googlenet": zoo.googlenet,
    "resnet50": zoo.resnet50,
    "mobilenet_v1": zoo.mobilenet_v1,
    "mobilenet_v1_025": zoo.mobilenet_v1_025,
    "resnet8": zoo.resnet8,
}


def _check_batch(batch: int, most: int | None = None) -> None:
    if batch < 1 or (most is not None and batch > most):
        allowed = "from 1 up" if most is None else f"from 1 to {most}"
        raise NetworkError(f"batch must be {allowed}, not {batch}")
