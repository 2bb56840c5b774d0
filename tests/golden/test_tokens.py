from golden.tokens import Tokens


def test_visible_is_the_cycle_of_the_last_token_needed():
    tokens = Tokens()
    tokens.give(3)
    tokens.give(7, 2)
    assert [tokens.visible(n) for n in range(5)] == [0, 3, 7, 7, None]


def test_take_removes_the_oldest():
    tokens = Tokens(initial=2)
    tokens.give(9, 3)
    tokens.take(3)
    assert [tokens.visible(n) for n in (1, 2, 3)] == [9, 9, None]


def test_giving_nothing_changes_nothing():
    tokens = Tokens()
    tokens.give(5, 0)
    assert tokens.visible(1) is None
