import pytest

from golden.compiled import Data
from golden.engine_model import DRAIN, LOAD, NEVER, Queues
from golden.table import Table
from golden.tokens import PSUM_READY, WRITTEN, Credits, free_places, give, give_back, make_tokens, take, visible
from hw import spec

#: Every strip may give ``written`` once, every pass ``psum_ready``.
STRIPS = 5


class Semaphores:
    """All tokens of a program with a few strips, with the queues whose engines they wake."""

    def __init__(self):
        strip = {field.name: 0 for field in spec.COMMAND["drain.strip"].fields}
        data = Data()
        self.tokens, self.queues = make_tokens(Table([("drain.strip", strip)] * STRIPS), data), Queues(2)
        self.data = data.vector(compiled=False)

    def give(self, cycle, amount=1, kind=WRITTEN):
        give(self.tokens, self.queues, self.data, kind, cycle, amount)

    def visible(self, amount, kind=WRITTEN):
        return visible(self.tokens, self.data, kind, amount)

    def take(self, amount):
        take(self.tokens, WRITTEN, amount)


@pytest.fixture
def semaphores():
    return Semaphores()


def test_visible_is_the_cycle_of_the_last_token_needed(semaphores):
    semaphores.give(3)
    semaphores.give(7, 2)
    assert [semaphores.visible(n) for n in range(5)] == [0, 3, 7, 7, NEVER]


def test_take_removes_the_oldest(semaphores):
    semaphores.give(0, 2)
    semaphores.give(9, 3)
    semaphores.take(3)
    assert [semaphores.visible(n) for n in (1, 2, 3)] == [9, 9, NEVER]


def test_giving_nothing_changes_nothing(semaphores):
    semaphores.give(5, 0)
    assert semaphores.visible(1) == NEVER


def test_kinds_do_not_mix(semaphores):
    for cycle in range(STRIPS):
        semaphores.give(cycle)
    assert semaphores.visible(1, PSUM_READY) == NEVER


def test_a_gift_wakes_the_engine_that_takes(semaphores):
    semaphores.queues.awake[:] = [0] * len(semaphores.queues.awake)
    semaphores.give(5)
    assert [engine for engine, awake in enumerate(semaphores.queues.awake) if awake] == [LOAD] != [DRAIN]


def test_places_come_back_one_a_cycle():
    credits = Credits(4)
    credits.taken = 4
    assert free_places(credits, 1) == NEVER
    give_back(credits, 10, 2)
    give_back(credits, 20, 2)
    assert [free_places(credits, places) for places in range(6)] == [0, 11, 12, 21, 22, NEVER]
