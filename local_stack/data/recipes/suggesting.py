"""A first recipe for a table, from its profile: each step with a comment that says why.

It is what a careful person would begin with for any estimator, not what is best for one: trees
need no scaling, and LightGBM takes missing values and texts as they are. What would be wrong
more often than right stands there turned off.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_stack.data.recipes.document import one_line, quoted, step_lines

P_EMPTY = 0.95
"""Share of missing values from which on a column is left out."""
P_INDICATOR = 0.05
"""Share of missing values from which on a column says where they were."""
SKEWNESS = 1.0
"""Skewness from which on numbers get a power."""
KURTOSIS = 3.0
"""Excess kurtosis from which on numbers that are not skewed are limited."""
P_ZEROS = 0.5
"""Share of zeros above which a number is told apart from zero instead of getting a power."""
FEW, SEVERAL, MANY = 2, 15, 50
"""Categories up to which a text becomes one code, columns, and columns of the frequent ones."""
_CONTINUOUS = 10
_MOST_RATIOS = 3
_WORDS = 3.0
_WIDTH = 72
_LISTED = 4
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")

Step = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One step and why; one that is off stands in the text as a comment."""

    step: Step
    reason: str
    is_on: bool = True


@dataclass(slots=True)
class _Table:
    """The columns that are left, with what the profile says of them."""

    variables: dict[str, Mapping[str, Any]]
    alerts: Sequence[Mapping[str, Any]]
    target: str | None
    texts_as: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def having(self, code: str) -> dict[str, Mapping[str, Any]]:
        """Return the alerts of one code by column, of the columns that are left."""
        found = {it["column"]: it for it in self.alerts if it["code"] == code}
        return {name: it for name, it in found.items() if name in self.variables}

    def of_type(self, *types: str) -> dict[str, Mapping[str, Any]]:
        """Return the columns of some types, a text that is cast counting as what it becomes."""
        return {
            name: it
            for name, it in self.variables.items()
            if self.texts_as.get(name, it["type"]) in types
        }

    def is_missing(self, name: str) -> bool:
        """Return whether a column misses values, those that a step takes away included."""
        return name in self.missing or bool(self.variables[name]["n_missing"])

    def drop(self, names: Iterable[str]) -> None:
        """Leave columns out of what follows."""
        for name in names:
            self.variables.pop(name, None)


def suggestions(profile: Mapping[str, Any], target: str | None) -> list[Suggestion]:
    """Return the steps of a first recipe, in their order.

    Parameters
    ----------
    profile
        The ``result`` of ``data profile``.
    target
        The column to predict, which the steps leave alone; None when there is none.
    """
    variables = {name: it for name, it in profile["variables"].items() if name != target}
    table = _Table(variables, profile["alerts"], target)
    found: list[Suggestion] = []
    for part in _PARTS:
        found += part(table)
    return found


def text_of(found: Sequence[Suggestion], target: str | None, origin: str) -> str:
    """Return suggestions as the text of a recipe; ``origin`` says what they were made from."""
    rows = _comment(f"Suggested from {_said(origin)}: a beginning, to be edited.", "")
    rows += [f"target: {quoted(target)}"] if target else []
    rows.append("features:" if any(it.is_on for it in found) else "features: []")
    for it in found:
        rows += _comment(it.reason, "  ")
        rows += step_lines(it.step) if it.is_on else [f"  # - {one_line(it.step)}"]
    return "\n".join(rows) + "\n"


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )


# ------------------------------------------------------------------ what is left out


def _leaks(table: _Table) -> Iterator[Suggestion]:
    for code in ("leakage", "leakage_suspect"):
        for name in table.having(code):
            reason = f"{_told(name)} alone tells the target: is it known when one predicts?"
            yield Suggestion({"drop": {"columns": [name]}}, reason, is_on=False)


def _useless(table: _Table) -> Iterator[Suggestion]:
    is_of_no_use: tuple[tuple[str, Callable[[str, Mapping[str, Any]], bool]], ...] = (
        ("the same value in every row", lambda name, it: it["n_distinct"] <= 1),
        ("almost empty", lambda name, it: it["p_missing"] >= P_EMPTY),
        ("names a row instead of describing it", lambda name, it: _is_identifier(table, name)),
        ("personal data, which no model needs", lambda name, it: _is_personal(table, name)),
        ("the same values as another column", lambda name, it: _is_twin(table, name)),
    )
    for reason, test in is_of_no_use:
        names = [name for name, it in table.variables.items() if test(name, it)]
        if names:
            table.drop(names)
            verb = "is" if len(names) == 1 else "are"
            about = reason if reason.startswith("names") else f"{verb} {reason}"
            yield Suggestion({"drop": {"columns": names}}, f"{_listed(names)} {about}")


def _is_identifier(table: _Table, name: str) -> bool:
    it = table.variables[name]
    is_whole_number = it["type"] in ("long", "string")
    marked = any(name in table.having(code) for code in ("identifier", "unique"))
    return it["kind"] == "identifier-suspect" or (marked and is_whole_number)


def _is_personal(table: _Table, name: str) -> bool:
    return name in table.having("personal_data") and table.variables[name]["kind"] in (
        "text",
        "identifier-suspect",
    )


def _is_twin(table: _Table, name: str) -> bool:
    found = table.having("equal_columns").get(name)
    return found is not None and found["other_column"] in table.variables


def _duplicates(table: _Table) -> Iterator[Suggestion]:
    found = next((it for it in table.alerts if it["code"] == "duplicates"), None)
    if found is not None:
        n_rows = int(found["value"])
        reason = f"{n_rows:,} rows are repeats: turn this on if they are errors, not equal cases"
        yield Suggestion({"deduplicate": {"columns": "all"}}, reason, is_on=False)


# ------------------------------------------------------------------ what is not what it seems


def _casts(table: _Table) -> Iterator[Suggestion]:
    names = list(table.having("numbers_as_text"))
    if names:
        table.texts_as |= dict.fromkeys(names, "double")
        table.missing |= set(names)
        reason = f"{_listed(names)}: numbers that were read as text"
        yield Suggestion({"cast": {"columns": names, "to": "number"}}, reason)
    for name, alert in table.having("dates_as_text").items():
        is_iso = all(_ISO.match(str(it["value"])) for it in alert["values"])
        reason = f"{_told(name)}: dates that were read as text"
        if is_iso:
            table.texts_as[name] = "date"
            table.missing.add(name)
            yield Suggestion({"cast": {"columns": [name], "to": "date"}}, reason)
        else:
            step = {"cast": {"columns": [name], "to": "date", "format": "%d.%m.%Y"}}
            yield Suggestion(step, f"{reason}; say how they are written", is_on=False)


def _sentinels(table: _Table) -> Iterator[Suggestion]:
    for name, alert in table.having("sentinel").items():
        numbers = [it["value"] for it in alert["values"] if _is_number(it["value"])]
        if table.variables[name]["type"] not in ("long", "double") or not numbers:
            continue
        table.missing.add(name)
        column = f"col({_python(name)})"
        text = f"when(~{column}.is_in({numbers!r})).then({column})"
        n_rows = sum(int(it["count"]) for it in alert["values"])
        shown = ", ".join(f"{number:g}" for number in numbers[:_LISTED])
        reason = f"{shown} in {_told(name)} ({n_rows:,} rows) seems to stand for a missing value"
        yield Suggestion({"expression": {name: text}}, reason)


def _spellings(table: _Table) -> Iterator[Suggestion]:
    mended: dict[str, str] = {}
    for code, call in (
        ("padded", ".str.strip_chars()"),
        ("similar_categories", ".str.strip_chars().str.to_lowercase()"),
    ):
        for name, alert in table.having(code).items():
            it = table.variables[name]
            if it["kind"] == "categorical" and (code == "padded" or _merges(alert)):
                mended[name] = f"col({_python(name)}){call}"
    if mended:
        reason = f"{_listed(list(mended))}: values that differ in blanks or capitals only"
        yield Suggestion({"expression": mended}, reason)


def _merges(alert: Mapping[str, Any]) -> bool:
    spelt = [str(it["value"]).strip().lower() for it in alert["values"]]
    return len(set(spelt)) < len(spelt)


def _dates(table: _Table) -> Iterator[Suggestion]:
    for name, it in table.of_type("date", "datetime").items():
        days = it.get("range_days") or 400.0
        parts = [part for part, least in _PARTS_FROM.items() if days >= least]
        parts += ["hour"] if it["type"] == "datetime" else []
        reason = f"{_told(name)} spans {days:,.0f} days" if it.get("range_days") else _told(name)
        yield Suggestion(
            {"dates": {"columns": [name], "parts": parts}},
            f"{reason}: a date becomes numbers",
        )
        if table.is_missing(name):
            made = [f"{name}_{part}" for part in parts]
            step = {"impute": {"columns": made, "strategy": "median"}}
            yield Suggestion(step, f"{_missing_of(table, [name])}")


_PARTS_FROM = {"year": 366, "month": 32, "dayofweek": 2, "elapsed_days": 0}
"""Parts of a date, and how many days the dates span at least where they tell something."""


# ------------------------------------------------------------------ what is missing


def _imputes(table: _Table) -> Iterator[Suggestion]:
    telling = {*table.having("missing_depends_on_target")}
    numbers = [name for name in table.of_type("long", "double") if table.is_missing(name)]
    marked = [
        name
        for name in numbers
        if table.variables[name]["p_missing"] >= P_INDICATOR or name in telling
    ]
    plain = [name for name in numbers if name not in marked]
    if plain:
        step = {"impute": {"columns": plain, "strategy": "median"}}
        yield Suggestion(step, _missing_of(table, plain))
    if marked:
        body = {"columns": marked, "strategy": "median", "indicator": True}
        why = "so many that where they are missing may tell something"
        yield Suggestion({"impute": body}, f"{_missing_of(table, marked)}; {why}")
    truths = [name for name in table.of_type("boolean") if table.is_missing(name)]
    if truths:
        step = {"impute": {"columns": truths, "strategy": "most_frequent"}}
        yield Suggestion(step, _missing_of(table, truths))
    texts = [name for name in table.of_type("string") if table.is_missing(name)]
    if texts:
        step = {"impute": {"columns": texts, "strategy": "constant", "value": "(missing)"}}
        yield Suggestion(step, f"{_missing_of(table, texts)}: a category of their own")


def _missing_of(table: _Table, names: Sequence[str]) -> str:
    told = []
    for name in names[:_LISTED]:
        it = table.variables[name]
        if it["n_missing"]:
            told.append(f"{it['n_missing']:,} of {_told(name)} ({it['p_missing']:.1%})")
        else:
            told.append(f"some of {_told(name)}")
    return f"missing: {', '.join(told)}{_more(names)}"


# ------------------------------------------------------------------ how numbers lie


def _ratios(table: _Table) -> Iterator[Suggestion]:
    """Yield ratios of positive numbers that move together, the closest pairs first."""
    numbers = table.of_type("long", "double")
    positive = {name for name, it in numbers.items() if it.get("min") is not None and it["min"] > 0}
    pairs = [
        it
        for it in table.alerts
        if it["code"] == "high_correlation"
        and it["value"] > 0
        and {it["column"], it["other_column"]} <= positive
    ]
    pairs.sort(key=lambda it: -float(it["value"]))
    for it in pairs[:_MOST_RATIOS]:
        first, second = it["column"], it["other_column"]
        reason = (
            f"{_told(first)} and {_told(second)} move together ({it['value']:.2f}): their ratio "
            "may tell more than both"
        )
        yield Suggestion({"ratio": {"columns": [first, second]}}, reason, is_on=False)


def _powers(table: _Table) -> Iterator[Suggestion]:
    skewed, heavy, zeros = [], [], []
    for name, it in table.of_type("long", "double").items():
        skewness, kurtosis = it.get("skewness"), it.get("kurtosis")
        if skewness is None or it["n_distinct"] <= _CONTINUOUS or name in table.missing:
            continue  # or what the profile measured was not yet what the values are
        n_present = sum(it["histogram"]["counts"]) if it.get("histogram") else 0
        if abs(skewness) >= SKEWNESS and it["n_zeros"] > P_ZEROS * n_present:
            zeros.append(name)
        elif abs(skewness) >= SKEWNESS:
            skewed.append(name)
        elif (kurtosis or 0) >= KURTOSIS:
            heavy.append(name)
    if zeros:
        flags = {_fresh(table, f"{name}_any"): f"col({_python(name)}) != 0" for name in zeros}
        reason = f"{_listed(zeros)}: mostly 0; whether it is not 0 tells apart"
        yield Suggestion({"expression": flags}, reason)
    if heavy:
        step = {"winsorise": {"columns": heavy, "lower": 0.01, "upper": 0.99}}
        told = _each(table, heavy, "kurtosis", "excess kurtosis")
        yield Suggestion(step, f"far values on both sides: {told}")
    if skewed:
        step = {"power": {"columns": skewed, "method": "yeo-johnson"}}
        yield Suggestion(step, f"a long tail: {_each(table, skewed, 'skewness', 'skewness')}")


def _fresh(table: _Table, name: str) -> str:
    return _fresh(table, f"{name}_") if name in (*table.variables, table.target) else name


def _each(table: _Table, names: Sequence[str], key: str, noun: str) -> str:
    told = [f"{_told(name)} {table.variables[name][key]:.1f}" for name in names[:_LISTED]]
    return f"{noun} of {', '.join(told)}{_more(names)}"


def _scales(table: _Table) -> Iterator[Suggestion]:
    if table.of_type("long", "double", "date", "datetime"):
        reason = "for linear models, distances and networks; trees do not need it"
        yield Suggestion({"scale": {"columns": "numeric", "method": "standard"}}, reason)


# ------------------------------------------------------------------ what is text


def _texts(table: _Table) -> Iterator[Suggestion]:
    for name, it in list(table.of_type("string").items()):
        told = it.get("text") or {}
        n_words = told.get("n_words", 0) / max(1, told.get("n_texts", 1))
        if it["kind"] != "text" or n_words < _WORDS:
            continue
        table.drop([name])
        reason = f"{_told(name)} is prose, {n_words:.0f} words in the mean"
        yield Suggestion({"text": {"columns": [name]}}, reason)
        step = {"tfidf": {"columns": [name], "max_features": 50, "min_df": 5}}
        yield Suggestion(step, f"the words of {_told(name)}")


def _codes(table: _Table) -> Iterator[Suggestion]:
    by_form: dict[str, list[str]] = {form: [] for form in ("few", "several", "rare", "many", "own")}
    rare = {*table.having("rare_categories")}
    for name, it in table.of_type("string").items():
        by_form[_form(it, name in rare)].append(name)
    many = "target" if table.target else "frequency"
    means = "the mean of the target, out of fold" if table.target else "how frequent each is"
    forms: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("few", {"as": "ordinal"}, "two values: one column of 0 and 1"),
        ("several", {"as": "onehot"}, "few values: a column each"),
        ("rare", {"as": "onehot", "min_frequency": 10}, "a column each, the rare ones together"),
        ("many", {"as": many}, f"many values: {means}"),
        ("own", {"as": "frequency"}, "hardly two rows share a value: how many do"),
    )
    for form, options, why in forms:
        names = by_form[form]
        if names:
            told = [f"{_told(it)} {table.variables[it]['n_distinct']:,}" for it in names[:_LISTED]]
            reason = why if form == "few" else f"{why} ({', '.join(told)}{_more(names)})"
            yield Suggestion({"encode": {"columns": names, **options}}, reason)


def _form(it: Mapping[str, Any], has_rare: bool) -> str:
    """Return how a text becomes numbers, by how many different values it has."""
    n_values = it["n_distinct"] + bool(it["n_missing"])
    if n_values <= FEW:
        return "few"
    if n_values > MANY:
        return "own" if it["kind"] == "text" else "many"
    return "rare" if has_rare or n_values > SEVERAL else "several"


_PARTS: tuple[Callable[[_Table], Iterator[Suggestion]], ...] = (
    _leaks,
    _useless,
    _duplicates,
    _casts,
    _sentinels,
    _spellings,
    _imputes,
    _ratios,
    _powers,
    _dates,
    _scales,
    _texts,
    _codes,
)
"""The parts of a recipe, in the order of its steps."""


# ------------------------------------------------------------------ words


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_told, names[:_LISTED])) + _more(names)


def _more(names: Sequence[str]) -> str:
    n = len(names) - _LISTED
    return f" and {n} more" if n > 0 else ""


def _told(name: str) -> str:
    """Return a column's name as it stands in the steps, cut where it is long."""
    return quoted(name if len(name) <= 40 else f"{name[:37]}...")


def _said(text: str) -> str:
    return "".join(it if it.isprintable() else "?" for it in text)


def _python(text: str) -> str:
    return repr(text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
