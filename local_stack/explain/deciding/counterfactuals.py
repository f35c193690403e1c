"""Counterfactuals: the smallest plausible changes of a row that give it another outcome.

Every value comes from a training row. One column is tried with all of its values, then pairs of
columns over a grid, then three and four of which two came near; and then whole rows: the nearest
training rows, taken over as far as they may be. What is found is made smaller until no column can
be put back and no number can be one training value nearer to where it was. The model itself, asked
with the row as JSON, has the last word. The search is deterministic, and bounded in rows that are
predicted.

References: Wachter, Mittelstadt and Russell (2018) for the idea, Mothilal, Sharma and Tan (2020)
for several unlike ones, Dandl and others (2020) for sparse and plausible ones.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from local_stack.explain.attributing.sampled import evenly
from local_stack.explain.deciding.constraints import Limit, RowRules, candidates
from local_stack.explain.deciding.reasons import plain_name, shown
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.explain.deciding.columns import Space
    from local_stack.explain.deciding.wanted import Wanted
    from local_stack.stores.model import Model

    Array = NDArray[np.float64]
    Number = TypeVar("Number", np.float64, np.int64)

BUDGET: Final = 20_000
"""Most rows that the model is asked for in one search."""
_SINGLES: Final = 6_000
_PAIRS: Final = 5_000
_NEIGHBOURS: Final = 2_000
_SEEDS: Final = 6
_LOOKED_AT: Final = 100_000
_MOST_VALUES: Final = 64
_PAIRED: Final = 10
_EXTENDED: Final = 12
_STARTS: Final = 8
_FURTHER: Final = 2
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Change(Result):
    """What becomes of one column; ``distance`` is the share of training values in between.

    It is 1 for categories and for what was missing.
    """

    feature: str
    before: Any
    after: Any
    distance: float


@dataclass(frozen=True, slots=True)
class Counterfactual(Result):
    """A row that gets another outcome, as the changes of the one that does not.

    ``prediction`` is what the model says of it, ``probability`` that of the outcome (None: the
    model gives none); ``distance`` adds up those of the changes. Of the training rows that really
    had the outcome the nearest (its number in the data version) lies ``nearest_distance`` away,
    on average over the columns: None where there is none.
    ``is_minimal`` says that undoing any change, or bringing a number one training value nearer,
    takes the outcome away; it is false only where the search ended before it had seen to that.
    """

    changes: tuple[Change, ...]
    prediction: Any
    probability: float | None
    distance: float
    nearest_row: int | None
    nearest_distance: float | None
    is_minimal: bool
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """The counterfactuals of a row, the smallest first, and in a sentence why there are no more."""

    counterfactuals: tuple[Counterfactual, ...]
    note: str
    n_asked: int


@dataclass(frozen=True, slots=True)
class Setting:
    """What a search stands on: ``limits`` are in the order of the space's columns.

    ``numbers`` are those of the training rows in the data version, ``outcomes`` their targets,
    (n_rows,). ``rules`` are conditions between columns that a changed row must keep.
    ``leave_out`` is the number of the row itself, where it is one of them.
    """

    model: Model
    space: Space
    limits: Sequence[Limit]
    numbers: NDArray[np.int64]
    outcomes: Sequence[Any]
    rules: RowRules | None = None
    leave_out: int | None = None


def counterfactuals(
    setting: Setting, row: Mapping[str, Any], wanted: Wanted, n: int = 1, budget: int = BUDGET
) -> Found:
    """Return at most ``n`` counterfactuals of a validated row, no two of the same columns.

    Parameters
    ----------
    budget
        Most rows that the model is asked for.
    """
    prediction = setting.model.predict_row(row)
    if wanted.holds(prediction):
        return Found((), f"The model says {wanted.named(prediction)} already.", 1)
    search = _Search(setting, setting.space.code(row), wanted, budget)
    if not search.free:
        return Found((), "Every column is held as it is, so nothing can change.", 1)
    drafts = search.drafts(n)
    found = tuple(_told(search, draft) for draft in drafts)
    return Found(found, _note(search, len(found), n), search.n_asked)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A row that has the outcome: ``cost`` orders drafts, the fewest changes first."""

    coded: Array
    places: tuple[int, ...]
    cost: tuple[int, float, tuple[float, ...]]
    is_minimal: bool = False


@dataclass
class _Search:
    setting: Setting
    origin: Array
    wanted: Wanted
    budget: int
    n_asked: int = 0
    is_spent: bool = False
    values: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        axes = zip(self.setting.space.axes, self.setting.limits, self.origin, strict=True)
        self.values = [candidates(axis, limit, float(code)) for axis, limit, code in axes]

    @property
    def free(self) -> list[int]:
        """Return the columns that can change."""
        return [place for place, values in enumerate(self.values) if len(values)]

    def ask(self, rows: Array) -> tuple[NDArray[np.bool_], Array]:
        """Return which rows have the outcome, and how near they come; nothing past the budget."""
        import numpy as np

        n_left = max(0, self.budget - self.n_asked)
        asked = rows[:n_left]
        self.is_spent |= len(rows) > n_left
        self.n_asked += len(asked)
        is_there = np.zeros(len(rows), dtype=bool)
        score = np.full(len(rows), -np.inf)
        if len(asked):
            matrix = self.setting.model.matrix(self.setting.space.columns(asked))
            is_there[: len(asked)], score[: len(asked)] = self.wanted.judge(matrix)
        return is_there, score

    def draft(self, coded: Array, *, is_minimal: bool = False) -> _Draft:
        import numpy as np

        moved = self.setting.space.distances(coded[None], self.origin)[0]
        changed = np.flatnonzero(~_same(coded, self.origin))
        cost = (len(changed), float(moved.sum()), tuple(coded[changed].tolist()))
        return _Draft(coded, tuple(changed.tolist()), cost, is_minimal)

    def drafts(self, n: int) -> list[_Draft]:
        """Return the smallest rows with the outcome, each of other columns, verified."""
        singles, best = self._singles()
        kept = self._kept(singles, [], n)
        solved = {draft.places[0] for draft in kept}
        starts = [self.origin]
        open_ = sorted(set(best) - solved, key=lambda it: (-best[it][1].max(), it))
        if len(kept) < n:
            drafts, starts = self._pairs(best, open_[:_PAIRED])
            kept = self._kept(drafts, kept, n)
        for _ in range(_FURTHER):
            if len(kept) < n and starts:
                drafts, starts = self._extended(best, open_[:_PAIRED], starts)
                kept = self._kept(drafts, kept, n)
        if len(kept) < n:
            kept = self._kept(self._rows(), kept, n)
        return sorted(kept, key=lambda it: it.cost)

    def _kept(self, drafts: Iterable[_Draft], kept: list[_Draft], n: int) -> list[_Draft]:
        """Return ``kept`` with the smallest of ``drafts`` that are of other columns, made smaller.

        A draft that holds all the columns of one that is kept is no other way.
        """
        kept = list(kept)
        for draft in sorted(drafts, key=lambda it: it.cost):
            if len(kept) >= n or self.is_spent:
                break
            if any(set(it.places) <= set(draft.places) for it in kept):
                continue
            smaller = self._minimal(draft)
            is_new = not any(set(it.places) <= set(smaller.places) for it in kept)
            if is_new and self._verified(smaller.coded):
                kept = [it for it in kept if not set(smaller.places) < set(it.places)]
                kept.append(smaller)
        return kept

    def _verified(self, coded: Array) -> bool:
        """Return whether the model itself says so of the row as JSON, and the contract keeps."""
        row = self.setting.space.row(coded)
        sent = json.loads(json.dumps(row))
        checked = self.setting.model.preparation.validate_row(sent)
        return self.wanted.holds(self.setting.model.predict_row(checked)) and self._keeps(checked)

    def _keeps(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row breaks no condition between columns that the origin keeps."""
        rules = self.setting.rules
        return rules is None or rules.broken(row) <= self._broken

    @cached_property
    def _broken(self) -> frozenset[str]:
        rules, model = self.setting.rules, self.setting.model
        assert rules is not None
        row = self.setting.space.row(self.origin)
        return rules.broken(model.preparation.validate_row(row))

    # -------------------------------------------------------------- where drafts come from

    def _singles(self) -> tuple[list[_Draft], dict[int, tuple[Array, Array]]]:
        """Try one column at a time; return what has the outcome, and the values with scores."""
        import numpy as np

        free = self.free
        most = max(2, min(_MOST_VALUES, _SINGLES // len(free)))
        grids = {place: _spread(self.values[place], most) for place in free}
        rows = [self._with({place: value}) for place in free for value in grids[place].tolist()]
        is_there, score = self.ask(np.array(rows))
        drafts, best, start = [], {}, 0
        for place in free:
            at = slice(start, start := start + len(grids[place]))
            best[place] = grids[place], score[at]
            made = [self.draft(rows[number]) for number in _hits(is_there, at)]
            drafts += [min(made, key=lambda it: it.cost)] if made else []
        return drafts, best

    def _pairs(
        self, best: Mapping[int, tuple[Array, Array]], places: Sequence[int]
    ) -> tuple[list[_Draft], list[Array]]:
        """Try two columns at a time, over a grid; return also the nearest to the outcome."""
        pairs = list(itertools.combinations(sorted(places), 2))
        most = max(2, int((_PAIRS / max(1, len(pairs))) ** 0.5))
        grids = {place: _promising(*best[place], most).tolist() for place in places}
        made = [
            [
                self._with({one: first, two: second})
                for first, second in itertools.product(grids[one], grids[two])
            ]
            for one, two in pairs
        ]
        return self._sorted_out(made)

    def _extended(
        self,
        best: Mapping[int, tuple[Array, Array]],
        places: Sequence[int],
        starts: Sequence[Array],
    ) -> tuple[list[_Draft], list[Array]]:
        """Change one more column of rows that came near, as :meth:`_pairs` does with two."""
        made = []
        for start in starts:
            for place in places:
                if _same(start, self.origin)[place]:
                    rows = [start.copy() for _ in _promising(*best[place], _EXTENDED)]
                    for row, value in zip(rows, _promising(*best[place], _EXTENDED), strict=True):
                        row[place] = value
                    made.append(rows)
        return self._sorted_out(made)

    def _sorted_out(self, made: Sequence[Sequence[Array]]) -> tuple[list[_Draft], list[Array]]:
        """Ask for groups of rows; return the smallest with the outcome of each, and near misses."""
        import numpy as np

        rows = [row for group in made for row in group]
        if not rows:
            return [], []
        is_there, score = self.ask(np.array(rows))
        drafts, nearest, start = [], [], 0
        for group in made:
            span = slice(start, start := start + len(group))
            found = [self.draft(rows[number]) for number in _hits(is_there, span)]
            if found:
                drafts.append(min(found, key=lambda it: it.cost))
            elif group:
                at = span.start + int(score[span].argmax())
                nearest.append((-float(score[at]), at))
        return drafts, [rows[at] for _, at in sorted(nearest)[:_STARTS]]

    def _rows(self) -> list[_Draft]:
        """Take over the nearest training rows as far as they may be; keep what has the outcome."""
        import numpy as np

        space = self.setting.space
        numbers = _spread(np.arange(space.n_rows, dtype=np.int64), _LOOKED_AT)
        mixed = np.tile(self.origin, (len(numbers), 1))
        for place in self.free:
            codes = space.coded[numbers, place]
            is_free = np.isin(codes, self.values[place])
            mixed[is_free, place] = codes[is_free]
        moved = space.distances(mixed, self.origin).sum(axis=1)
        order = np.lexsort((numbers, moved))
        order = order[moved[order] > 0]
        if len(order) > _NEIGHBOURS:  # half of them near, the other half from everywhere
            half = _NEIGHBOURS // 2
            order = np.concatenate([order[:half], _spread(order[half:], half)])
        is_there, _ = self.ask(mixed[order])
        return [self._reduced(self.draft(mixed[it])) for it in order[is_there][:_SEEDS].tolist()]

    # -------------------------------------------------------------- making them smaller

    def _minimal(self, draft: _Draft) -> _Draft:
        """Put back and shrink until neither is possible, or the budget is spent."""
        while True:
            before = draft
            draft = self._reduced(draft)
            for place in sorted(draft.places, key=lambda it: (-self._moved(draft, it), it)):
                draft = self._shrunk(draft, place)
            if self.is_spent or _same(draft.coded, before.coded).all():
                return self.draft(draft.coded, is_minimal=not self.is_spent)

    def _moved(self, draft: _Draft, place: int) -> float:
        axis = self.setting.space.axes[place]
        code = float(self.origin[place])
        return float(axis.distances(draft.coded[place : place + 1], code)[0])

    def _reduced(self, draft: _Draft) -> _Draft:
        """Put back columns, the ones that are furthest away first, while the outcome stays."""
        import numpy as np

        while len(draft.places) > 1:
            tried = np.tile(draft.coded, (len(draft.places), 1))
            for number, place in enumerate(draft.places):
                tried[number, place] = self.origin[place]
            is_there, _ = self.ask(tried)
            left = [self.draft(tried[number]) for number in np.flatnonzero(is_there).tolist()]
            if not left:
                break
            draft = min(left, key=lambda it: it.cost)
        return draft

    def _shrunk(self, draft: _Draft, place: int) -> _Draft:
        """Bring a number to the nearest training value with the outcome, by ever finer steps.

        What was missing becomes as usual as it may be: it is brought to the median.
        """
        import numpy as np

        axis, now, values = self.setting.space.axes[place], draft.coded[place], self.values[place]
        origin = self.origin[place]
        if not axis.is_ordered or np.isnan(now):
            return draft
        is_between = (values > min(origin, now)) & (values < max(origin, now))
        if np.isnan(origin):
            origin = axis.usual(values)
            is_between = (values >= min(origin, now)) & (values <= max(origin, now))
        between = values[is_between & (values != now)]
        between = between if now > origin else between[::-1]  # the nearest to the origin first
        while len(between):
            steps = _spread(np.arange(len(between), dtype=np.int64), _AT_ONCE)
            tried = np.tile(draft.coded, (len(steps), 1))
            tried[:, place] = between[steps]
            is_there, _ = self.ask(tried)
            hits = np.flatnonzero(is_there)
            if not len(hits):  # what lies next to the value that has it is tried as well
                between = between[steps[-1] + 1 :]
                continue
            draft = self.draft(tried[hits[0]])
            between = between[(steps[hits[0] - 1] + 1 if hits[0] else 0) : steps[hits[0]]]
        return draft

    def _with(self, values: Mapping[int, float]) -> Array:
        found = self.origin.copy()
        for place, value in values.items():
            found[place] = value
        return found


def _same(first: Array, second: Array) -> NDArray[np.bool_]:
    """Return where two rows are equal, missing being equal to missing."""
    import numpy as np

    return np.asarray((first == second) | (np.isnan(first) & np.isnan(second)))


def _spread(values: NDArray[Number], most: int) -> NDArray[Number]:
    """Return at most ``most`` of ``values`` in their order, evenly spread, both ends included."""
    return values if len(values) <= most else values[evenly(len(values), most)]


def _promising(values: Array, score: Array, most: int) -> Array:
    """Return at most ``most`` values: half of them evenly spread, the others of the best scores."""
    import numpy as np

    if len(values) <= most:
        return values
    spread = _spread(np.arange(len(values), dtype=np.int64), max(2, most // 2))
    best = np.argsort(-score, kind="stable")[: most - len(spread)]
    return np.asarray(values[np.unique(np.concatenate([spread, best]))])


def _hits(is_there: NDArray[np.bool_], span: slice) -> list[int]:
    return [span.start + place for place, it in enumerate(is_there[span].tolist()) if it]


# ------------------------------------------------------------------ what is told


def _told(search: _Search, draft: _Draft) -> Counterfactual:
    space, model = search.setting.space, search.setting.model
    before, after = space.row(search.origin), space.row(draft.coded)
    changes = tuple(
        Change(name, before[name], after[name], search._moved(draft, place))
        for place, name in ((place, space.names[place]) for place in draft.places)
    )
    checked = model.preparation.validate_row(after)
    prediction, probability = model.predict_row(checked), None
    if model.has_probabilities:
        probability = model.predict_proba_row(checked)[search.wanted.number]
    nearest, apart = _nearest(search, draft.coded)
    return Counterfactual(
        changes=changes,
        prediction=prediction,
        probability=probability,
        distance=draft.cost[1],
        nearest_row=nearest,
        nearest_distance=apart,
        is_minimal=draft.is_minimal,
        text=_text(changes, search.wanted.named(prediction), probability),
    )


def _nearest(search: _Search, coded: Array) -> tuple[int | None, float | None]:
    """Return the nearest other training row that had the outcome, and how far it is."""
    import numpy as np

    setting, wanted = search.setting, search.wanted
    had = np.array([it is not None and wanted.holds(it) for it in setting.outcomes], dtype=bool)
    places = np.flatnonzero(had & (setting.numbers != setting.leave_out))
    if not len(places):
        return None, None
    apart = setting.space.distances(setting.space.coded[places], coded).mean(axis=1)
    at = int(apart.argmin())
    return int(setting.numbers[places[at]]), float(apart[at])


def _text(changes: Sequence[Change], prediction: str, probability: float | None) -> str:
    """Return a counterfactual as a sentence; it tells of the model, not of the world."""
    parts = [
        f"{plain_name(it.feature)} were {shown(it.after)} instead of {shown(it.before)}"
        for it in changes
    ]
    likely = "" if probability is None else f" (probability {probability:.3f})"
    return f"If {' and '.join(parts)}, the model would say {prediction}{likely}."


def _note(search: _Search, n_found: int, n: int) -> str:
    if n_found >= n:
        return ""
    n_held = len(search.values) - len(search.free)
    held = f" and {n_held} column{'s' * (n_held != 1)} held" if n_held else ""
    where = f"with values of training rows{held}"
    how = f"{search.n_asked:,} rows were tried"
    if search.is_spent:
        how += f", as many as a search may ({search.budget:,})"
    outcome = search.wanted.words
    if not n_found:
        return f"No change that leads to {outcome} was found {where}; {how}."
    ways = f"1 way to {outcome} was" if n_found == 1 else f"{n_found} ways to {outcome} were"
    return f"No more than {ways} found {where}; {how}."
