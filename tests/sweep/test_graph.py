"""Entries of dvc.lock, put in their places."""

from resgrid.sweep.graph import LOCK_HEAD, with_entry

FIRST = "  train@plain8-0:\n    cmd: a\n    deps:\n    - path: x\n      size: 1\n"
SECOND = "  train@plain8-1:\n    cmd: b\n"


def test_entries_are_appended_in_order() -> None:
    assert with_entry(with_entry(LOCK_HEAD, FIRST), SECOND) == LOCK_HEAD + FIRST + SECOND


def test_an_entry_takes_the_place_of_the_one_with_its_name() -> None:
    changed = "  train@plain8-0:\n    cmd: c\n"
    assert with_entry(LOCK_HEAD + FIRST + SECOND, changed) == LOCK_HEAD + changed + SECOND
    assert with_entry(LOCK_HEAD + SECOND + FIRST, changed) == LOCK_HEAD + SECOND + changed
    assert with_entry(LOCK_HEAD + SECOND + FIRST.rstrip("\n"), changed) == LOCK_HEAD + SECOND + changed


def test_a_name_that_begins_like_another_is_another() -> None:
    longer = "  train@plain8-01:\n    cmd: d\n"
    assert with_entry(LOCK_HEAD + longer, FIRST) == LOCK_HEAD + longer + FIRST
