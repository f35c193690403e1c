"""Splits of rows: shares, groups, times and folds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.errors import InputError
from local_stack.evaluation.split import Keys, folds, hold_out


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
