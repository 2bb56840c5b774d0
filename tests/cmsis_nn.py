"""Reads the CMSIS-NN int8 test vectors of ``shared/data/cmsis_nn`` as layers with input and expected output."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from compiler.graph import Conv, FullyConnected, Layer, Pool

_REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("EYAS_SHARED", _REPOSITORY.parent / "shared"))
FOLDER = SHARED / "data" / "cmsis_nn"

#: Names of the int8 vectors by operator. They are listed so that a missing file is a failure, not one test less.
CONV = (
    "basic",
    "conv_1_x_n_1",
    "conv_1_x_n_3",
    "conv_1_x_n_4",
    "conv_1_x_n_6_generic",
    "conv_1_x_n_7",
    "conv_2",
    "conv_2x2_dilation",
    "conv_2x3_dilation",
    "conv_3",
    "conv_3x3_dilation_5x5_input",
    "conv_4",
    "conv_dilation_golden",
    "conv_out_activation",
    "kernel1x1_stride_x",
    "kernel1x1_stride_x_y",
    "kernel1x1_stride_x_y_2",
    "stride2pad1",
)
GROUPED = ("grouped_conv", "grouped_conv_1", "grouped_conv_3", "grouped_conv_4")
DEPTHWISE = (
    "depthwise_2",
    "depthwise_dilation",
    "depthwise_kernel_3x3",
    "depthwise_kernel_3x3_null_bias",
    "depthwise_null_bias_0",
    "depthwise_null_bias_1",
    "depthwise_sub_block",
    "depthwise_x_stride",
)
FULLY_CONNECTED = ("fc_per_ch", "fully_connected_mve_1", "fully_connected_out_activation")
MAX_POOL = ("maxpooling_1", "maxpooling_2", "maxpooling_4", "maxpooling_5", "maxpooling_7")
AVERAGE_POOL = ("avgpooling", "avgpooling_1", "avgpooling_3", "avgpooling_5")
SUPPORTED = (*CONV, *GROUPED, *DEPTHWISE, *FULLY_CONNECTED, *MAX_POOL, *AVERAGE_POOL)
REFUSED = ("fully_connected_w_zp",)  # its filter zero point is not zero


@dataclass(frozen=True)
class Vector:
    """One test vector: ``layer`` must turn ``ifmap`` (N, H, W, C) into ``ofmap`` (N, E, F, M)."""

    layer: Layer
    ifmap: np.ndarray
    ofmap: np.ndarray


def read(name: str) -> Vector:
    """Return the vector called ``name``; skips the test if the folder is not on this machine.

    Raises
    ------
    compiler.graph.NetworkError
        If Eyas does not support the layer.
    """
    if not FOLDER.is_dir():
        pytest.skip(f"the CMSIS-NN vectors are not in {FOLDER}; EYAS_SHARED may name the folder above data/cmsis_nn")
    with np.load(FOLDER / f"{name}.npz") as file:
        data = dict(file)
    config, kind = json.loads(str(data.pop("config"))), str(data.pop("kind"))
    if kind == "fc8":
        return _fully_connected(name, config, data)
    if kind.endswith("pool"):
        return _pool(name, config, data, {"maxpool": "max", "avgpool": "average"}[kind])
    return _conv(name, config, data, depthwise=kind == "dw8")


def names() -> dict[str, str]:
    """Return the kind of every int8 vector in the folder by name, transposed convolution left out."""
    kinds = {}
    for path in FOLDER.glob("*.npz"):
        with np.load(path) as file:
            kind = str(file["kind"])
            first = file["input_tensor" if kind.endswith("pool") else "input"]
        if first.dtype == np.int8 and kind != "tconv":
            kinds[path.stem] = kind
    return kinds


def _conv(name: str, config: dict[str, int], data: dict[str, np.ndarray], *, depthwise: bool) -> Vector:
    h, w, c, m = (config[key] for key in ("INPUT_H", "INPUT_W", "IN_CH", "OUT_CH"))
    r, s = config["FILTER_Y"], config["FILTER_X"]
    groups = c if depthwise else c // config.get("FILTER_CH", c)
    weights = data["weights"].reshape(r, s, m).transpose(2, 0, 1) if depthwise else data["weights"]
    stride, dilation = ((config[f"{key}_Y"], config[f"{key}_X"]) for key in ("STRIDE", "DILATION"))
    layer = Conv(
        name=name,
        input_shape=(h, w, c),
        filters=weights.reshape(m, r, s, c // groups),
        stride=stride,
        dilation=dilation,
        groups=groups,
        padding=(
            *_sides(config["PAD_Y"], h, config["OUTPUT_H"], r, stride[0], dilation[0]),
            *_sides(config["PAD_X"], w, config["OUTPUT_W"], s, stride[1], dilation[1]),
        ),
        multiplier=data["output_mult"],
        shift=data["output_shift"],
        **_activations(config),
        bias=data.get("biases"),
    )
    return _vector(layer, data["input"], data["output_ref"])


def _fully_connected(name: str, config: dict[str, int], data: dict[str, np.ndarray]) -> Vector:
    per_channel = "output_multiplier" in data
    layer = FullyConnected(
        name=name,
        input_shape=(1, 1, config["ACCUMULATION_DEPTH"]),
        filters=data["weights"].reshape(config["OUT_CH"], -1),
        filter_zero_point=-config.get("FILTER_OFFSET", 0),
        multiplier=data["output_multiplier"] if per_channel else np.array(config["OUTPUT_MULTIPLIER"]),
        shift=data["output_shift"] if per_channel else np.array(config["OUTPUT_SHIFT"]),
        **_activations(config),
        bias=data.get("bias", data.get("biases")),
    )
    return _vector(layer, data["input"], data["output" if per_channel else "output_ref"])


def _pool(name: str, config: dict[str, int], data: dict[str, np.ndarray], kind: str) -> Vector:
    h, w = config["INPUT_H"], config["INPUT_W"]
    window, stride = ((config[f"{key}_H"], config[f"{key}_W"]) for key in ("FILTER", "STRIDE"))
    layer = Pool(
        name=name,
        input_shape=(h, w, config["INPUT_C"]),
        kind=kind,
        window=window,
        stride=stride,
        padding=(
            *_sides(config["PADDING_H"], h, config["OUTPUT_H"], window[0], stride[0]),
            *_sides(config["PADDING_W"], w, config["OUTPUT_W"], window[1], stride[1]),
        ),
        minimum=config["ACTIVATION_MIN"],
        maximum=config["ACTIVATION_MAX"],
    )
    return _vector(layer, data["input_tensor"], data["output"])


def _vector(layer: Layer, ifmap: np.ndarray, ofmap: np.ndarray) -> Vector:
    return Vector(layer, ifmap.reshape(-1, *layer.input_shape), ofmap.reshape(-1, *layer.output_shape))


def _activations(config: dict[str, int]) -> dict[str, int]:
    return {
        "input_zero_point": -config["INPUT_OFFSET"],
        "output_zero_point": config["OUTPUT_OFFSET"],
        "minimum": config["OUT_ACTIVATION_MIN"],
        "maximum": config["OUT_ACTIVATION_MAX"],
    }


def _sides(before: int, size: int, outputs: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Padding before and after along one axis: CMSIS-NN states the first; the outputs imply the second."""
    after = (outputs - 1) * stride + (window - 1) * dilation + 1 - size - before
    return before, max(after, 0)
