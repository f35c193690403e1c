"""A small decision tree that says in rules what a model predicts, and how well it says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.affording import affordable
from local_stack.explain.attributing.sampled import evenly
from local_stack.explain.effects.parts import CATEGORICAL, DATE, Leaf, Surrogate
from local_stack.explain.effects.rows import Described, Rows, frequent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

    Array = NDArray[np.float64]

DEPTH: Final = 4
MOST_ROWS: Final = 10_000
FEWEST_ROWS: Final = 40
_MOST_CATEGORIES: Final = 12
_SMALLEST_SHARE: Final = 0.01
_TEST_SHARE: Final = 0.3
_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Question:
    """What a split asks of a column: a number to compare, or whether it is a category."""

    column: Described
    category: str | None = None
    has_missing: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """One side of a split; ``misses`` says that it is the one of missing values."""

    question: _Question
    threshold: float
    is_left: bool
    misses: bool

    def text(self, misses: bool) -> str:
        column, category = self.question.column, self.question.category
        if category is not None:
            return f"{column.name} is {'not ' if self.is_left else ''}{category}"
        shown = _date(self.threshold) if column.kind == DATE else f"{self.threshold:.6g}"
        also = " or missing" if self.question.has_missing and misses else ""
        return f"{column.name} {'<=' if self.is_left else '>'} {shown}{also}"


def some_rows(model: Model, n_rows: int) -> NDArray[np.int64]:
    """Return the numbers of the rows that are worth their time, evenly spread."""
    return evenly(n_rows, max(FEWEST_ROWS, min(MOST_ROWS, affordable(model, _SECONDS))))


def surrogate_tree(rows: Rows, *, depth: int = DEPTH, seed: int = 0) -> Surrogate | str:
    """Return the tree of what a model says of rows, or a sentence that says why there is none.

    It learns from 70 percent of the rows, and its fidelity is measured on the others. Raw
    columns are asked: numbers and dates for a threshold, the twelve most frequent categories
    for themselves.
    """
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    model = rows.model
    if len(rows) < FEWEST_ROWS:
        return f"A surrogate tree needs at least {FEWEST_ROWS} rows, and there are {len(rows)}."
    outputs = model.outputs(rows.matrix)
    if (outputs == outputs[0]).all():
        return "The model predicts the same for every row, so that there are no rules to tell."
    questions, matrix = _asked(rows)
    order = np.random.default_rng(seed).permutation(len(rows))
    n_test = int(_TEST_SHARE * len(rows))
    test, train = order[:n_test], order[n_test:]
    kind: Any = DecisionTreeRegressor if model.task == "regression" else DecisionTreeClassifier
    tree = kind(
        max_depth=depth,
        min_samples_leaf=max(5, int(_SMALLEST_SHARE * len(train))),
        random_state=seed,
    ).fit(matrix[train], outputs[train])
    told = np.asarray(tree.predict(matrix[test]))
    if model.task == "regression":
        measure, usual = "R2", outputs[train].mean()
        spread = float(((outputs[test] - outputs[test].mean()) ** 2).sum())
        fidelity, baseline = (
            1 - float(((outputs[test] - it) ** 2).sum()) / spread if spread else 0.0
            for it in (told, usual)
        )
    else:
        measure, usual = "agreement", np.bincount(outputs[train]).argmax()
        fidelity, baseline = (float(np.mean(outputs[test] == it)) for it in (told, usual))
    told_tree = _Tree(tree, questions, model)
    return Surrogate(
        rules=tuple(_rules(told_tree)),
        leaves=tuple(_leaves(told_tree)),
        measure=measure,
        fidelity=fidelity,
        baseline=baseline,
        depth=int(tree.get_depth()),
        n_rows_train=len(train),
        n_rows_test=len(test),
    )


def _asked(rows: Rows) -> tuple[list[_Question], Array]:
    """Return what can be asked of the raw columns, and the answers (n_rows, n_questions)."""
    import numpy as np

    questions: list[_Question] = []
    answers: list[Array] = []
    for column in (rows.described[it.name] for it in rows.model.inputs):
        if column.kind != CATEGORICAL:
            questions.append(_Question(column, None, bool(np.isnan(column.numbers).any())))
            answers.append(column.numbers)
            continue
        categories: list[str | None] = list(frequent(column.values)[:_MOST_CATEGORIES])
        if None in column.values:
            categories.append(None)
        for place, category in enumerate(categories):
            word = "missing" if category is None else category
            questions.append(_Question(column, word))
            is_it = np.isnan(column.numbers) if category is None else column.numbers == place
            answers.append(is_it.astype(np.float64))
    return questions, np.column_stack(answers)


def _rules(tree: _Tree) -> Iterator[str]:
    """Yield the tree as indented lines."""
    stack = [(0, 0, "")]
    while stack:
        node, level, condition = stack.pop()
        is_leaf = tree.is_leaf(node)
        ending = f": {tree.prediction(node)} ({tree.share(node):.1%} of rows)" if is_leaf else ""
        if condition or is_leaf:
            yield "  " * max(0, level - 1) + (condition or "all rows") + ending
        if not is_leaf:
            stack += [(child, level + 1, told) for child, told in tree.children(node)]


def _leaves(tree: _Tree) -> Iterator[Leaf]:
    stack: list[tuple[int, tuple[_Step, ...]]] = [(0, ())]
    while stack:
        node, way = stack.pop()
        if tree.is_leaf(node):
            yield Leaf(_conditions(way), tree.prediction(node), tree.share(node))
        else:
            stack += [(child, (*way, step)) for child, step in tree.steps(node)]


def _conditions(way: Sequence[_Step]) -> tuple[str, ...]:
    """Return what a way asks, each bound once, the tightest; what follows from another is left."""
    kept: dict[tuple[str, object], _Step] = {}
    for step in way:  # a split further down is the tighter bound
        kept[step.question.column.name, (step.question.category, step.is_left)] = step
    steps = list(kept.values())
    misses = {
        name: all(it.misses for it in way if it.question.column.name == name)
        for name in {it.question.column.name for it in steps}
    }
    is_one = {it.question.column.name for it in steps if it.question.category and not it.is_left}
    return tuple(
        it.text(misses[it.question.column.name])
        for it in steps
        if it.question.category is None or not it.is_left or it.question.column.name not in is_one
    )


class _Tree:
    """A fitted tree in words. A split whose sides predict the same class is told as a leaf."""

    def __init__(self, fitted: Any, questions: list[_Question], model: Model) -> None:
        self._fitted, self._questions, self._model = fitted, questions, model
        self._nodes = fitted.tree_

    def is_leaf(self, node: int) -> bool:
        return self._nodes.children_left[node] < 0 or len(self._told(node)) == 1

    def steps(self, node: int) -> list[tuple[int, _Step]]:
        """Return the right child and the left one, each with what leads there."""
        nodes, question = self._nodes, self._questions[self._nodes.feature[node]]
        threshold, misses_left = float(nodes.threshold[node]), bool(nodes.missing_go_to_left[node])
        sides = ((nodes.children_right, False), (nodes.children_left, True))
        return [
            (int(its[node]), _Step(question, threshold, is_left, misses_left == is_left))
            for its, is_left in sides
        ]

    def children(self, node: int) -> list[tuple[int, str]]:
        """Return the right child and the left one, each with its condition."""
        return [(child, step.text(step.misses)) for child, step in self.steps(node)]

    def share(self, node: int) -> float:
        return float(self._nodes.n_node_samples[node] / self._nodes.n_node_samples[0])

    def prediction(self, node: int) -> str:
        value = self._nodes.value[node][0]
        if self._model.task == "regression":
            return f"{float(value[0]):.6g}"
        shares = value / value.sum()
        place = int(shares.argmax())
        return f"{self._model.classes[int(self._fitted.classes_[place])]} ({shares[place]:.0%})"

    def _told(self, node: int) -> set[Any]:
        """Return what the leaves below predict."""
        left, right = self._nodes.children_left[node], self._nodes.children_right[node]
        if left < 0:
            is_number = self._model.task == "regression"
            return {node if is_number else int(self._nodes.value[node][0].argmax())}
        return self._told(left) | self._told(right)


def _date(microseconds: float) -> str:
    import numpy as np

    return str(np.datetime64(int(microseconds), "us").astype("datetime64[m]")).replace("T", " ")
