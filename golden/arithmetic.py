"""Exact integer arithmetic of the TFLite int8 specification; int64 inside, so nothing wraps silently."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1

AVERAGE_SHIFT = 8
"""Left shift with which averaging through the requantiser is exact."""
AVERAGE_MAXIMUM_COUNT = 256
"""Most values that :func:`average_pool_multiplier` averages exactly."""


def _int32(values: ArrayLike, what: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.int64)
    if array.size and (array.min() < INT32_MIN or array.max() > INT32_MAX):
        worst = array.max() if array.max() > INT32_MAX else array.min()
        raise OverflowError(f"{what} must fit in 32 bits, not {worst}")
    return array


def saturating_rounding_doubling_high_multiply(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return the high half of ``2 * a * b``, rounded to nearest, ties towards plus infinity.

    Source: ``SaturatingRoundingDoublingHighMul``, gemmlowp ``fixedpoint/fixedpoint.h``. Its sign-dependent nudge and
    truncating division equal one addition and one arithmetic shift. The only overflow, both operands the least int32,
    saturates.
    """
    a, b = _int32(a, "operand"), _int32(b, "multiplier")
    return np.minimum((a * b + (1 << 30)) >> 31, INT32_MAX)


def rounding_divide_by_power_of_two(x: ArrayLike, exponent: ArrayLike) -> np.ndarray:
    """Return ``x / 2**exponent`` rounded to nearest, ties away from zero.

    Source: ``RoundingDivideByPOT``, gemmlowp ``fixedpoint/fixedpoint.h``; exponents 0 to 31.
    """
    x, exponent = np.asarray(x, dtype=np.int64), np.asarray(exponent, dtype=np.int64)
    if exponent.size and (exponent.min() < 0 or exponent.max() > 31):
        raise ValueError(
            f"exponent must be from 0 to 31, not {exponent.min() if exponent.min() < 0 else exponent.max()}"
        )
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def multiply_by_quantized_multiplier(acc: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> np.ndarray:
    """Return ``acc * multiplier * 2**(shift - 31)``, rounded twice.

    Source: ``MultiplyByQuantizedMultiplier`` without ``TFLITE_SINGLE_ROUNDING``,
    ``tensorflow/lite/kernels/internal/common.cc``; CMSIS-NN's ``arm_nn_requantize`` is the same.

    Parameters
    ----------
    acc : array of int
        Accumulators, bias included.
    multiplier, shift : array of int
        One for all, or one per channel (the last axis); a positive shift is a left shift, before the multiplication.

    Raises
    ------
    OverflowError
        If an accumulator, before or after its left shift, does not fit in 32 bits.
    """
    acc, shift = _int32(acc, "accumulator"), np.asarray(shift, dtype=np.int64)
    shifted = acc << np.maximum(shift, 0)
    high = saturating_rounding_doubling_high_multiply(_int32(shifted, "left-shifted accumulator"), multiplier)
    return rounding_divide_by_power_of_two(high, np.maximum(-shift, 0))


def requantise(
    acc: ArrayLike, multiplier: ArrayLike, shift: ArrayLike, *, zero_point: int, minimum: int = -128, maximum: int = 127
) -> np.ndarray:
    """Return int8 activations: scale the accumulators, add the output zero point, clamp.

    Source: the tail of ``ConvPerChannel``, ``tensorflow/lite/kernels/internal/reference/integer_ops/conv.h``.
    """
    scaled = multiply_by_quantized_multiplier(acc, multiplier, shift) + zero_point
    return np.clip(scaled, minimum, maximum).astype(np.int8)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Return ``(multiplier, shift)`` with ``real`` nearly ``multiplier * 2**(shift - 31)``.

    Source: ``QuantizeMultiplier``, ``tensorflow/lite/kernels/internal/quantization_util.cc``. The multiplier is zero or
    from 2**30 up to 2**31 - 1.
    """
    if not real >= 0 or math.isinf(real):
        raise ValueError(f"real multiplier must be a finite number from 0 up, not {real!r}")
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def average_pool_multiplier(count: int) -> tuple[int, int]:
    """Return ``(multiplier, shift)`` that turn the sum of ``count`` int8 values into their TFLite average.

    TFLite rounds ties away from zero (``AveragePool``, ``.../reference/integer_ops/pooling.h``), the high multiply
    towards plus infinity. Only an even count has ties; there the multiplier lies just above the exact quotient, which
    moves them all away from zero. Exact for every sum (``tests/golden/test_arithmetic.py`` tries them all).
    """
    if not 1 <= count <= AVERAGE_MAXIMUM_COUNT:
        raise ValueError(f"count must be from 1 to {AVERAGE_MAXIMUM_COUNT} for an exact average, not {count!r}")
    one = 1 << (31 - AVERAGE_SHIFT)
    return (one // count + 1 if count % 2 == 0 else (one + count // 2) // count), AVERAGE_SHIFT
