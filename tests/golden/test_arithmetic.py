"""Integer arithmetic against the C of its sources, transcribed, and against exact rationals."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import arithmetic

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
CORNERS = [0, 1, -1, 1 << 30, -(1 << 30), (1 << 31) - 1, -(1 << 31), 1 - (1 << 31), 3 << 29, -(3 << 29)]


def c_divide(a, b):
    """Integer division of C: towards zero."""
    return abs(a) // b if a >= 0 else -(abs(a) // b)


def gemmlowp_high_multiply(a, b):
    if a == b == -(1 << 31):
        return (1 << 31) - 1
    nudge = 1 << 30 if a * b >= 0 else 1 - (1 << 30)
    return c_divide(a * b + nudge, 1 << 31)


def half_away(x):
    """Nearest integer to a fraction, ties away from zero."""
    magnitude = int(abs(x) + Fraction(1, 2))
    return magnitude if x >= 0 else -magnitude


@given(a=INT32, b=INT32)
@settings(deadline=None)
def test_high_multiply_is_gemmlowps(a, b):
    assert arithmetic.saturating_rounding_doubling_high_multiply(a, b) == gemmlowp_high_multiply(a, b)


@pytest.mark.parametrize("a", CORNERS)
def test_high_multiply_at_the_corners(a):
    expected = [gemmlowp_high_multiply(a, b) for b in CORNERS]
    assert arithmetic.saturating_rounding_doubling_high_multiply(a, CORNERS).tolist() == expected


def test_high_multiply_rounds_ties_up_and_saturates():
    ties = arithmetic.saturating_rounding_doubling_high_multiply([-3, -1, 1, 3], 1 << 30)
    assert ties.tolist() == [-1, 0, 1, 2]
    assert arithmetic.saturating_rounding_doubling_high_multiply(-(1 << 31), -(1 << 31)) == (1 << 31) - 1


@given(x=INT32, exponent=st.integers(0, 31))
@settings(deadline=None)
def test_rounding_divide_is_half_away_from_zero(x, exponent):
    assert arithmetic.rounding_divide_by_power_of_two(x, exponent) == half_away(Fraction(x, 1 << exponent))


def test_rounding_divide_at_ties():
    assert arithmetic.rounding_divide_by_power_of_two([-6, -5, -2, 2, 5, 6], 2).tolist() == [-2, -1, -1, 1, 1, 2]


@pytest.mark.parametrize("exponent", [-1, 32])
def test_rounding_divide_refuses_exponent(exponent):
    with pytest.raises(ValueError, match=rf"^exponent must be from 0 to 31, not {exponent}$"):
        arithmetic.rounding_divide_by_power_of_two(1, exponent)


@given(acc=st.integers(-(1 << 22), (1 << 22) - 1), multiplier=st.integers(0, (1 << 31) - 1), shift=st.integers(-31, 9))
@settings(deadline=None)
def test_requantisation_rounds_twice(acc, multiplier, shift):
    high = gemmlowp_high_multiply(acc << max(shift, 0), multiplier)
    expected = half_away(Fraction(high, 1 << max(-shift, 0)))
    assert arithmetic.multiply_by_quantized_multiplier(acc, multiplier, shift) == expected


def test_double_rounding_differs_from_single():
    # 0.49...: the first rounding makes a half of it, the second a whole
    assert arithmetic.multiply_by_quantized_multiplier(1, (1 << 31) - 1, -1) == 1


def test_parameters_per_channel_follow_the_last_axis():
    acc = np.arange(-12, 12).reshape(2, 3, 4) * 1000
    multiplier, shift = np.array([1 << 30, 3 << 29, 1 << 30, (1 << 31) - 1]), np.array([0, -3, 2, -10])
    scaled = arithmetic.multiply_by_quantized_multiplier(acc, multiplier, shift)
    for channel in range(4):
        one = arithmetic.multiply_by_quantized_multiplier(acc[..., channel], multiplier[channel], shift[channel])
        np.testing.assert_array_equal(scaled[..., channel], one)


def test_overflow_is_refused():
    with pytest.raises(OverflowError, match=r"^accumulator must fit in 32 bits, not 2147483648$"):
        arithmetic.multiply_by_quantized_multiplier(1 << 31, 1 << 30, 0)
    with pytest.raises(OverflowError, match=r"^left-shifted accumulator must fit in 32 bits, not -2147483656$"):
        arithmetic.multiply_by_quantized_multiplier([0, -(1 << 28) - 1], 1 << 30, 3)


def test_requantise_adds_the_zero_point_then_clamps():
    acc = np.array([-1000, -130, -10, 0, 10, 130, 1000])
    outputs = arithmetic.requantise(acc, 1 << 30, 1, zero_point=3, minimum=-20, maximum=100)
    assert outputs.dtype == np.int8
    assert outputs.tolist() == [-20, -20, -7, 3, 13, 100, 100]


@given(real=st.floats(1e-9, 1e6))
@settings(deadline=None)
def test_quantize_multiplier_is_nearest(real):
    multiplier, shift = arithmetic.quantize_multiplier(real)
    assert 1 << 30 <= multiplier < 1 << 31
    assert abs(Fraction(real) - Fraction(multiplier) * Fraction(2) ** (shift - 31)) <= Fraction(2) ** (shift - 32)


def test_quantize_multiplier_at_the_borders():
    assert arithmetic.quantize_multiplier(0.0) == (0, 0)
    assert arithmetic.quantize_multiplier(0.5) == (1 << 30, 0)
    assert arithmetic.quantize_multiplier(1.0) == (1 << 30, 1)
    assert arithmetic.quantize_multiplier(1 - 2.0**-40) == (1 << 30, 1)  # rounds up to a power of two
    assert arithmetic.quantize_multiplier(2.0**-32) == (1 << 30, -31)
    assert arithmetic.quantize_multiplier(2.0**-33) == (0, 0)


@pytest.mark.parametrize("real", [-0.5, float("inf"), float("nan")])
def test_quantize_multiplier_refuses(real):
    with pytest.raises(ValueError, match=rf"^real multiplier must be a finite number from 0 up, not {real}$"):
        arithmetic.quantize_multiplier(real)


@pytest.mark.parametrize("low", range(1, 257, 32))
def test_average_is_exact_for_every_sum(low):
    for count in range(low, low + 32):
        sums = np.arange(-128 * count, 127 * count + 1)
        expected = np.where(sums > 0, (sums + count // 2) // count, -((-sums + count // 2) // count))
        averages = arithmetic.multiply_by_quantized_multiplier(sums, *arithmetic.average_pool_multiplier(count))
        np.testing.assert_array_equal(averages, expected, err_msg=f"count {count}")


@pytest.mark.parametrize("count", [0, 257])
def test_average_refuses_count(count):
    with pytest.raises(ValueError, match=rf"^count must be from 1 to 256 for an exact average, not {count}$"):
        arithmetic.average_pool_multiplier(count)
