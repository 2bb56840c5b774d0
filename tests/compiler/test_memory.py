import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.memory import Planner, packed_channels
from hw.config import preset

CONFIG = preset("tiny")


@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 9), st.integers(1, 20), st.booleans())
def test_unpack_reverses_pack(images, height, width, channels, packed):
    fmap = Planner().feature_map(images, (height, width, channels), CONFIG, packed=packed)
    values = np.random.default_rng(0).integers(-128, 128, (images, height, width, channels), dtype=np.int8)
    data = fmap.pack(values)
    assert len(data) == fmap.size_bytes
    assert np.array_equal(fmap.unpack(data, np.dtype(np.int8)), values)


@pytest.mark.parametrize(("channels", "stored"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 8)])
def test_packed_channels_are_a_power_of_two_up_to_a_block(channels, stored):
    assert packed_channels(channels, CONFIG) == stored


def test_layout_is_block_column_row_channel():
    fmap = Planner().feature_map(1, (2, 3, 16), CONFIG, packed=False)
    values = np.zeros((1, 2, 3, 16), np.int8)
    values[0, 1, 2, 9] = 5
    assert fmap.pack(values).index(5) == 1 * fmap.block_stride + 2 * fmap.column_stride + 1 * 8 + 1
    assert fmap.column_stride == 2 * 8 and fmap.block_stride == 3 * fmap.column_stride


def test_regions_do_not_overlap_and_are_aligned():
    planner = Planner()
    addresses = [planner.reserve(size) for size in (1, 511, 512, 513, 8)]
    assert addresses == [0, 512, 1024, 1536, 2560]
    assert planner.size_bytes == 3072


def test_a_program_beyond_the_address_space_is_refused():
    with pytest.raises(MemoryError, match="needs 2048 bytes of DRAM, more than the 1024"):
        Planner(limit=1024).reserve(2000)


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 9), st.integers(1, 20), st.integers(1, 4))
def test_every_other_column_lies_where_the_whole_has_it(images, height, width, channels, step):
    whole = Planner().feature_map(images, (height, width, channels), CONFIG, packed=False)
    some = whole.every(step)
    values = np.random.default_rng(1).integers(-128, 128, (images, height, width, channels), dtype=np.int8)
    data = whole.pack(values)
    assert some.shape == (height, len(range(0, width, step)), channels)
    for column in range(some.shape[1]):
        start = some.address + (images - 1) * some.image_stride + column * some.column_stride
        pixel = data[start - whole.address :][: min(8, channels)]
        assert np.array_equal(np.frombuffer(pixel, np.int8), values[-1, 0, column * step, :8])
    assert (some.block_stride, some.image_stride) == (whole.block_stride, whole.image_stride)


@given(st.integers(1, 3), st.integers(0, 2), st.integers(1, 9))
def test_a_part_unpacks_to_its_channels_of_the_whole(images, first_block, channels):
    whole = Planner().feature_map(images, (3, 4, 8 * first_block + channels), CONFIG, packed=False)
    values = np.random.default_rng(2).integers(-128, 128, (images, *whole.shape), dtype=np.int8)
    part = whole.part(first_block, (3, 4, channels))
    start = part.address - whole.address
    data = whole.pack(values)[start : start + part.size_bytes]
    assert np.array_equal(part.unpack(data, np.dtype(np.int8)), values[..., 8 * first_block :])
