"""Splits of rows: shares, groups, times and folds."""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.errors import InputError
from local_stack.evaluation.split import Keys, Split, duration, folds, hold_out, keys_of


@given(st.integers(2, 400), st.floats(0.01, 0.9), st.integers(0, 9))
def test_a_random_split_has_the_share_asked_for(n_rows: int, share: float, seed: int) -> None:
    n_test = int(np.ceil(share * n_rows))
    if n_test >= n_rows:
        with pytest.raises(InputError, match="too few"):
            hold_out(Keys(n_rows), share, seed)
        return
    train, test = hold_out(Keys(n_rows), share, seed)

    assert len(test) == n_test
    assert sorted([*train, *test]) == list(range(n_rows))
    again = hold_out(Keys(n_rows), share, seed)
    assert np.array_equal(again[1], test)


@given(st.lists(st.integers(0, 4), min_size=4, max_size=200), st.floats(0.05, 0.7))
def test_a_stratified_split_keeps_shares(strata: list[int], share: float) -> None:
    keys = Keys(len(strata), strata=np.array(strata))
    if np.ceil(share * len(strata)) >= len(strata):
        return
    train, test = hold_out(keys, share, 1)
    n_test = int(np.ceil(share * len(strata)))

    for value in set(strata):
        n_all = strata.count(value)
        n_held = int((np.array(strata)[test] == value).sum())
        assert n_held < n_all
        assert n_held <= n_all * n_test / len(strata) + 1
    assert len(train) + len(test) == len(strata)


@given(st.lists(st.integers(0, 6), min_size=4, max_size=100), st.integers(0, 5))
def test_groups_and_times_are_never_on_both_sides(values: list[int], seed: int) -> None:
    array = np.array(values)
    if len(set(values)) < 2:
        with pytest.raises(InputError, match="one value only"):
            hold_out(Keys(len(values), groups=array), 0.3, seed)
        with pytest.raises(InputError, match="one value only"):
            hold_out(Keys(len(values), times=array), 0.3, seed)
        return
    train, test = hold_out(Keys(len(values), groups=array), 0.3, seed)
    assert len(train)
    assert len(test)
    assert not set(array[train]) & set(array[test])
    train, test = hold_out(Keys(len(values), times=array), 0.3, seed)
    assert array[train].max() < array[test].min()


@pytest.mark.parametrize("kind", ["plain", "strata", "groups"])
def test_every_row_is_scored_in_exactly_one_fold(kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 8, 103)
    keys = Keys(103, **({} if kind == "plain" else {kind: values}))
    parts = list(folds(keys, 5, 4))

    assert sorted(np.concatenate([test for _, test in parts])) == list(range(103))
    for train, test in parts:
        assert not set(train) & set(test)
        if kind == "groups":
            assert not set(values[train]) & set(values[test])
        if kind == "strata":
            counts = np.bincount(values[test], minlength=8)
            assert np.abs(counts - np.bincount(values, minlength=8) / 5).max() <= 2


def test_folds_by_time_train_on_the_past() -> None:
    times = np.random.default_rng(0).permutation(100)
    parts = list(folds(Keys(100, times=times), 4, 0))

    assert len(parts) == 4
    assert all(times[train].max() < times[test].min() for train, test in parts)
    assert [len(test) for _, test in parts] == [20, 20, 20, 20]
    with pytest.raises(InputError, match="too few"):
        list(folds(Keys(100, times=times // 50), 4, 0))
    with pytest.raises(InputError, match="too few"):
        list(folds(Keys(3), 4, 0))


@given(st.lists(st.integers(0, 30), min_size=30, max_size=120), st.integers(1, 5))
def test_a_gap_purges_so_many_times_before_what_is_held_out(values: list[int], gap: int) -> None:
    frame = pl.DataFrame({"t": values})
    keys = keys_of(frame, Split(time="t", gap=gap), None)
    plain = keys_of(frame, Split(time="t"), None)
    cases = []
    with contextlib.suppress(InputError):  # too few times
        cases += [(hold_out(keys, 0.2, 0), hold_out(plain, 0.2, 0))]
        cases += zip(folds(keys, 2, 0), folds(plain, 2, 0), strict=True)
    different = sorted(set(values))
    for (train, test), (all_before, same_test) in cases:
        assert np.array_equal(test, same_test)
        begin = different.index(min(values[row] for row in test))
        kept = set(different[: max(begin - gap, 0)])
        assert train.tolist() == [row for row in all_before if values[row] in kept]


def test_a_gap_can_be_a_duration() -> None:
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 3, 1), eager=True)[::2]
    moments = pl.datetime_range(
        pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 3), "6h", time_zone="UTC", eager=True
    )
    frame = pl.DataFrame({"day": [None, *days], "n": range(len(days) + 1)})
    train, test = hold_out(keys_of(frame, Split(time="day", gap="7d"), None), 0.2, 0)
    first = frame["day"][test].min()
    later = [day for day in days if day < first and (first - day).days <= 7]

    assert len(later) == 3  # every second day: 2, 4 and 6 days before
    assert frame["day"][train].max() == later[0] - timedelta(days=2)
    assert 0 in train
    hours = pl.DataFrame({"at": moments})
    train, test = hold_out(keys_of(hours, Split(time="at", gap="12h"), None), 0.3, 0)
    assert (test.min() - train.max()) == 3
    assert duration("2w") == 14 * 86_400


def test_a_gap_that_cannot_be_is_a_sentence() -> None:
    frame = pl.DataFrame({"t": range(10)})
    with pytest.raises(InputError, match="'t' holds no dates"):
        keys_of(frame, Split(time="t", gap="7d"), None)
    with pytest.raises(InputError, match="leaves no rows to train on"):
        hold_out(keys_of(frame, Split(time="t", gap=8), None), 0.2, 0)
    for text in ("7", "d", "7 d", "-7d", "7.5d", "7d\n", "\u0667d"):
        with pytest.raises(ValueError, match=re.escape(text)):
            duration(text)
