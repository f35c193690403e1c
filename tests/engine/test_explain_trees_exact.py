"""The algorithm of tree SHAP: against every coalition, and its implementations bit by bit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.explain.attributing import ensembles, kernel, quadrature
from local_stack.explain.attributing.ensembles import Ensemble, Tree, ensemble
from local_stack.explain.attributing.interactions import tree_interactions
from local_stack.explain.attributing.quadrature import gauss_legendre, tree_shap
from tests.engine.trees_kit import expected, interactions, random_rows, random_tree, shapley

N = 4
EXACT = {"rtol": 0, "atol": 1e-12}


def made(seed: int, n_trees: int = 3, width: int = 1) -> tuple[list[Tree], Ensemble, np.ndarray]:
    generator = np.random.default_rng(seed)
    outputs = [0] * n_trees if width > 1 else [number % 2 for number in range(n_trees)]
    trees = [random_tree(generator, N, width, output) for output in outputs]
    return trees, ensemble(trees, N, np.full(2, 0.5)), random_rows(generator, 6, N)


def of_output(trees: list[Tree], row: np.ndarray, known: frozenset[int]) -> np.ndarray:
    total = np.full(2, 0.5)
    for tree in trees:
        total[tree.output : tree.output + tree.value.shape[1]] += expected(tree, row, known)
    return total


@given(st.integers(0, 2**32), st.sampled_from([1, 2]))
@settings(max_examples=25, deadline=None)
def test_values_are_those_of_every_coalition(seed: int, width: int) -> None:
    trees, forest, rows = made(seed, width=width)
    found = tree_shap(forest, rows[:2])
    for row, values in zip(rows, found, strict=False):
        value = cache(partial(of_output, trees, row))
        np.testing.assert_allclose(values, shapley(value, N), **EXACT)
        np.testing.assert_allclose(forest.base, value(frozenset()), **EXACT)
        whole = value(frozenset(range(N)))
        np.testing.assert_allclose(forest.base + values.sum(axis=0), whole, **EXACT)


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_interactions_are_those_of_every_coalition(seed: int) -> None:
    trees, forest, rows = made(seed, n_trees=2)
    found = tree_interactions(forest, rows[:1], [[place] for place in range(N)])
    value = cache(partial(of_output, trees, rows[0]))
    np.testing.assert_allclose(found[0], interactions(value, N), **EXACT)


def test_interactions_of_features_in_columns_are_sums_of_blocks() -> None:
    _, forest, rows = made(3)
    single = tree_interactions(forest, rows, [[place] for place in range(N)])
    joined = tree_interactions(forest, rows, [[0, 2], [1], [3]])
    blocks = np.add.reduceat(single[:, [0, 2, 1, 3]][:, :, [0, 2, 1, 3]], [0, 2, 3], axis=1)
    blocks = np.add.reduceat(blocks, [0, 2, 3], axis=2)
    np.testing.assert_allclose(joined, blocks, **EXACT)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make machine code answer for any number of rows."""
    assert kernel.can_compile()
    monkeypatch.setattr(quadrature, "_FEWEST_COMPILED", 0)
    yield
    assert len(kernel._compiled().signatures) == 1, "it was compiled again for other types"


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(("seed", "width"), [(0, 1), (1, 2), (2, 1)])
def test_machine_code_makes_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, seed: int, width: int
) -> None:
    generator = np.random.default_rng(seed)
    with monkeypatch.context() as patch:
        patch.setattr(ensembles, "_MOST_NODES", 100)
        _, forest, _ = made(seed, n_trees=20, width=width)
    assert len(forest.groups) > 2
    rows = random_rows(generator, 150, N)
    found = tree_shap(forest, rows)
    paired = tree_interactions(forest, rows[:9], [[0, 1], [2], [3]])
    monkeypatch.setattr(quadrature, "_is_compiled", lambda *_: False)
    np.testing.assert_array_equal(found, tree_shap(forest, rows))
    np.testing.assert_array_equal(paired, tree_interactions(forest, rows[:9], [[0, 1], [2], [3]]))


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_row_has_the_same_bits_alone_and_among_others(
    monkeypatch: pytest.MonkeyPatch, is_compiled: bool
) -> None:
    monkeypatch.setattr(quadrature, "_is_compiled", lambda *_: is_compiled)
    _, forest, _ = made(5, n_trees=9)
    rows = random_rows(np.random.default_rng(5), 70, N)
    monkeypatch.setattr(quadrature, "_AT_ONCE", 2_000)
    found = tree_shap(forest, rows)
    for place in (0, 1, 63, 64, 69):
        np.testing.assert_array_equal(tree_shap(forest, rows[place : place + 1])[0], found[place])


def test_no_rows_and_no_splits_are_answered() -> None:
    _, forest, rows = made(7)
    assert tree_shap(forest, rows[:0]).shape == (0, N, 2)
    leaf = np.array([-1])
    constant = Tree(leaf, leaf, leaf, leaf * 1.0, leaf > 0, leaf * -1.0, np.array([[3.0]]))
    stump = ensemble([constant], N, np.zeros(1))
    assert not tree_shap(stump, rows).any()
    assert stump.base.tolist() == [3.0]


@pytest.mark.parametrize("n", [1, 2, 5, 16, 33])
def test_the_rule_is_that_of_gauss_and_legendre(n: int) -> None:
    points, weights = gauss_legendre(n)
    expected_points, expected_weights = np.polynomial.legendre.leggauss(n)
    np.testing.assert_allclose(points, (expected_points + 1) / 2, rtol=0, atol=1e-15)
    np.testing.assert_allclose(weights, expected_weights / 2, rtol=1e-12)
    assert math.fsum(weights) == pytest.approx(1, abs=1e-15)


def test_many_features_on_a_way_lose_no_digits() -> None:
    """A comb of 60 features: its values are those of a product, known without any tree."""
    n = 60
    nodes = np.arange(2 * n + 1)
    is_inner = (nodes % 2 == 0) & (nodes < 2 * n)
    left = np.where(is_inner, nodes + 1, -1)
    right = np.where(is_inner, nodes + 2, -1)
    value = np.zeros((2 * n + 1, 1))
    value[-1] = 1.0
    cover = np.where(nodes % 2 == 0, 2.0 ** (-(nodes // 2)), 2.0 ** (-(nodes // 2 + 1)))
    cover[-1] = cover[-2]
    tree = Tree(left, right, nodes // 2, np.zeros(len(nodes)), nodes < 0, cover, value)
    forest = ensemble([tree], n + 1, np.zeros(1))
    found = tree_shap(forest, np.ones((1, n + 1)))[0, :n, 0]
    np.testing.assert_allclose(found, (1 - 0.5**n) / n, rtol=1e-12)


def test_without_numba_there_is_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_compiled", cache(lambda: None))
    monkeypatch.setattr(quadrature, "_WORTH_COMPILING", 0)
    trees, forest, rows = made(11)
    many = np.repeat(rows, 2, axis=0)
    found = tree_shap(forest, many)
    values = shapley(cache(partial(of_output, trees, many[11])), N)
    np.testing.assert_allclose(found[11], values, **EXACT)
