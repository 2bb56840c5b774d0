"""Places in a ring: tenants never overlap one that has not left, and wait for no more than they must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.rings import Ring

WORDS = 20
requests = st.lists(st.integers(1, WORDS), min_size=1, max_size=40)


@given(requests, st.integers(1, 6))
def test_nobody_moves_in_before_those_in_the_way_have_left(sizes, tenants):
    ring = Ring(words=WORDS, tenants=tenants)
    places, taken = [], 0
    for words in sizes:
        place = ring.open(words)
        taken += place.wait
        assert taken == place.after  # tokens taken so far: tenants that are known to have left
        living = [
            (other.address, other.address + size)
            for other, size in zip(places, sizes, strict=False)
            if other.number >= place.after
        ]
        assert all(end <= place.address or place.address + words <= start for start, end in living)
        assert 0 <= place.address <= WORDS - words and len(living) < tenants
        places.append(place)
    assert [place.number for place in places] == list(range(len(sizes)))


@given(requests)
def test_a_tenant_waits_only_for_those_up_to_the_last_one_in_its_way(sizes):
    ring = Ring(words=WORDS, tenants=100)
    places = []
    for words in sizes:
        place = ring.open(words)
        before = places[-1].after if places else 0
        if place.after > before:
            last = places[place.after - 1]
            assert last.address < place.address + words
            assert place.address < last.address + sizes[last.number]
        places.append(place)


def test_tenants_that_fit_side_by_side_do_not_wait():
    ring = Ring(words=12, tenants=15)
    assert [ring.open(4).wait for _ in range(6)] == [0, 0, 0, 1, 1, 1]


def test_a_group_starts_anew_rather_than_wait_for_itself():
    ring = Ring(words=12, tenants=15)
    ring.open(3)
    ring.keep_together(3 * 4)
    group = [ring.open(4) for _ in range(3)]
    assert [place.address for place in group] == [0, 4, 8]
    assert all(place.after <= 1 for place in group)


@pytest.mark.parametrize("tenants", [1, 3])
def test_at_most_so_many_tenants(tenants):
    ring = Ring(words=1000, tenants=tenants)
    places = [ring.open(1) for _ in range(10)]
    assert [place.number + 1 - place.after for place in places] == [min(n + 1, tenants) for n in range(10)]
