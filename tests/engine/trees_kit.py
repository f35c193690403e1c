"""What the tests of trees share: random trees, and Shapley values by the definition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from local_stack.explain.attributing.ensembles import Tree

GRID = 4
"""Thresholds and values are whole numbers below this, so that many are equal."""


def random_tree(
    generator: np.random.Generator, n_features: int, width: int = 1, output: int = 0
) -> Tree:
    """Return a tree of any shape, with every kind of split, and nodes that no row came to."""
    left, right, feature, cover = [], [], [], []
    categories = {}

    def grow(depth: int) -> int:
        here = len(left)
        for column in (left, right, feature, cover):
            column.append(-1)
        if depth and generator.random() < 0.8:
            feature[here] = int(generator.integers(n_features))
            if generator.random() < 0.2:
                table = generator.random(int(generator.integers(1, GRID))) < 0.5
                categories[here] = (table, bool(generator.random() < 0.5))
            left[here], right[here] = grow(depth - 1), grow(depth - 1)
            cover[here] = cover[left[here]] + cover[right[here]]
        else:
            feature[here], cover[here] = 0, int(generator.integers(0, 5))
        return here

    grow(5)
    n = len(left)
    zero_left = generator.integers(-1, 2, n)
    zero_left[list(categories)] = -1
    return Tree(
        np.array(left),
        np.array(right),
        np.array(feature),
        generator.integers(0, GRID, n).astype(np.float64),
        generator.random(n) < 0.5,
        np.array(cover, dtype=np.float64),
        generator.normal(size=(n, width)),
        output,
        zero_left,
        categories,
    )


def random_rows(generator: np.random.Generator, n_rows: int, n_features: int) -> np.ndarray:
    rows = generator.integers(-1, GRID + 1, (n_rows, n_features)).astype(np.float64)
    rows[generator.random(rows.shape) < 0.15] = np.nan
    return rows


def goes_left(tree: Tree, node: int, x: float) -> bool:
    if math.isnan(x):
        return bool(tree.nan_left[node])
    if node in tree.categories:
        table, others = tree.categories[node]
        return bool(table[int(x)]) if 0 <= x < len(table) else others
    if x == 0 and tree.zero_left is not None and tree.zero_left[node] >= 0:
        return bool(tree.zero_left[node])
    return bool(x <= tree.threshold[node])


def expected(tree: Tree, row: np.ndarray, known: frozenset[int], node: int = 0) -> np.ndarray:
    """Return what a tree says of a row of which only some features are known."""
    left, right = int(tree.left[node]), int(tree.right[node])
    if left < 0:
        return tree.value[node]
    if int(tree.feature[node]) in known:
        chosen = left if goes_left(tree, node, row[tree.feature[node]]) else right
        return expected(tree, row, known, chosen)
    both = tree.cover[left] + tree.cover[right]
    part = tree.cover[left] / both if both else 0.5
    there, other = expected(tree, row, known, left), expected(tree, row, known, right)
    return part * there + (1 - part) * other


def subsets(features: list[int]) -> list[frozenset[int]]:
    return [
        frozenset(chosen)
        for size in range(len(features) + 1)
        for chosen in itertools.combinations(features, size)
    ]


def shapley(value: Callable[[frozenset[int]], np.ndarray], n: int) -> np.ndarray:
    """Return Shapley values by their definition, (n, ...)."""
    found = []
    for i in range(n):
        total = 0.0 * value(frozenset())
        for chosen in subsets([j for j in range(n) if j != i]):
            weight = 1 / (n * math.comb(n - 1, len(chosen)))
            total += weight * (value(chosen | {i}) - value(chosen))
        found.append(total)
    return np.stack(found)


def interactions(value: Callable[[frozenset[int]], np.ndarray], n: int) -> np.ndarray:
    """Return SHAP interaction values by their definition, (n, n, ...)."""
    own = shapley(value, n)
    found = np.zeros((n, *own.shape))
    for i, j in itertools.combinations(range(n), 2):
        for chosen in subsets([k for k in range(n) if k not in (i, j)]):
            weight = 1 / (2 * (n - 1) * math.comb(n - 2, len(chosen)))
            both = value(chosen | {i, j}) - value(chosen | {i}) - value(chosen | {j})
            found[i, j] += weight * (both + value(chosen))
        found[j, i] = found[i, j]
    for i in range(n):
        found[i, i] = own[i] - found[i].sum(axis=0)
    return found
