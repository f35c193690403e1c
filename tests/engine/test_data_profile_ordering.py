"""The order of numbers: a permutation that sorts them, whatever their bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from local_stack.data.profiling.ordering import ordered

FLOATS = arrays.arrays(
    np.float64,
    st.integers(1, 60),
    elements=st.floats(allow_nan=False)
    | st.sampled_from([0.0, -0.0, 5e-324, 1.0, np.nextafter(1, 2)]),
)
WHOLES = st.sampled_from([np.int64, np.uint64]).flatmap(
    lambda kind: arrays.arrays(kind, st.integers(1, 60))
)


def check(x: np.ndarray) -> None:
    order, values = ordered(x)
    assert np.array_equal(values, np.sort(x))
    assert np.array_equal(x[order], values)
    assert np.array_equal(np.sort(order), np.arange(x.size))


@given(FLOATS | WHOLES)
def test_any_numbers_come_out_in_rising_order(x: np.ndarray) -> None:
    check(x)


RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize(
    "x",
    [
        RANDOM.normal(size=200_000),
        1e9 + RANDOM.random(200_000),  # nearly all differ in their lowest bits alone
        1.0 + 2.0**-36 * RANDOM.integers(0, 400_000, 200_000),  # some of them do
        RANDOM.choice(RANDOM.normal(size=50), 200_000),
        np.where(RANDOM.random(200_000) < 0.5, np.inf, -np.inf),
        RANDOM.integers(-(2**63), 2**63 - 1, 200_000),
        RANDOM.integers(0, 2**40, 200_000),
        np.arange(200_000, 0, -1),
    ],
    ids=["normal", "close", "some close", "repeated", "infinite", "64 bits", "40 bits", "falling"],
)
def test_many_numbers_come_out_in_rising_order(x: np.ndarray) -> None:
    check(x)
