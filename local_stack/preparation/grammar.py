"""How the steps of a preparation are written in a recipe file: one table, read and described.

Each step has one word. From its entry in the table come the reading with errors that name the
line, the way back to plain values, and the JSON Schema by which editors complete and check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from local_stack.errors import InputError
from local_stack.marked_yaml import Node
from local_stack.preparation import steps
from local_stack.preparation.categories import MAX_BUCKETS
from local_stack.preparation.expressions import LONGEST, columns_of
from local_stack.preparation.steps import SELECTORS, Columns, FeatureStep
from local_stack.preparation.texts import MAX_NGRAM, MAX_TERMS, check_date_form
from local_stack.preparation.values import Scalar

_FINITE = 1.7e308
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a step: the member it sets, how it is read, and its JSON Schema."""

    member: str
    read: Callable[[Node], Any]
    schema: Schema


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a recipe: its class and its keys, or the one key that is its whole body."""

    kind: Callable[..., FeatureStep]
    keys: Mapping[str, Key]
    body: Key | None = None


def scalar(node: Node) -> Scalar:
    """Return one value that is neither a list, a mapping nor empty."""
    if isinstance(node.value, list | dict) or node.value is None:
        raise node.error(f"{node.name} needs a number or a text.")
    return node.value


def _read_columns(node: Node) -> Columns:
    if isinstance(node.value, list):
        return tuple(item.text() for item in _some(node))
    text = node.text()
    return text if text in SELECTORS else (text,)


def _some(node: Node) -> list[Node]:
    items = node.items()
    if not items:
        raise node.error(f"{node.name} is an empty list, so the step would do nothing.", "Fill it.")
    return items


def _read_names(node: Node) -> tuple[str, ...]:
    if isinstance(node.value, list):
        return tuple(item.text() for item in _some(node))
    return (node.text(),)


def _read_pair(node: Node) -> tuple[str, ...]:
    items = node.items()
    if len(items) != 2:
        raise node.error(f"{node.name} needs two columns, [first, second].")
    return tuple(item.text() for item in items)


def _read_renames(node: Node) -> tuple[tuple[str, str], ...]:
    return tuple((old, _read_name(new)) for old, new in node.mapping().items())


def _read_name(node: Node) -> str:
    return _checked("" if node.value == "" else node.text(), node)


def _checked(name: str, node: Node) -> str:
    """Return the name of a new column, which must show."""
    if not name.strip():
        raise node.error("A column cannot have an empty name.", "Give it another name.")
    return name


def _read_expressions(node: Node) -> tuple[tuple[str, str], ...]:
    return tuple(
        (_checked(name, text), _read_expression(text)) for name, text in node.mapping().items()
    )


def _read_expression(node: Node) -> str:
    if isinstance(node.value, bool | int | float):
        raise node.error(f"{node.name} needs an expression in quotes, such as \"col('a') > 0\".")
    text = node.text(LONGEST)
    try:
        columns_of(text)
    except InputError as error:
        raise node.error(error.message, error.hint) from None
    return text


def _read_numbers(node: Node) -> tuple[float, ...]:
    return tuple(item.number(-_FINITE, _FINITE) for item in _some(node))


def _read_ngrams(node: Node) -> tuple[int, ...]:
    found = tuple(item.whole(1, MAX_NGRAM) for item in node.items())
    if len(found) != 2 or found[0] > found[1]:
        raise node.error(f"{node.name} needs [fewest, most] words.")
    return found


def _read_form(node: Node) -> str:
    form = node.text(100)
    try:
        check_date_form(form)
    except ValueError:
        raise node.error(
            f"{node.name} is no form of a date.",
            "Write one such as '%d.%m.%Y' or '%Y-%m-%d %H:%M'.",
        ) from None
    return form


def _read_smooth(node: Node) -> float | None:
    return None if node.value == "auto" else node.number(0, 1e12)


def _read_frequency(node: Node) -> float:
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.whole(1, 10**12)
    return node.number(0, 1)


_TEXT: Schema = {"type": "string", "minLength": 1}
_TEXTS: Schema = {"type": "array", "items": _TEXT, "minItems": 1}
_COLUMNS = Key(
    "columns",
    _read_columns,
    {"anyOf": [{"enum": list(SELECTORS)}, _TEXT, _TEXTS]},
)
_NEW: Schema = {**_TEXT, "pattern": "\\S"}
_PAIR = Key("columns", _read_pair, {**_TEXTS, "minItems": 2, "maxItems": 2})
_BY = Key("by", _read_names, {"anyOf": [_TEXT, _TEXTS]})
_NAME = Key("name", _read_name, _NEW)
_EXPRESSION: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST}


def _choice(member: str, choices: tuple[str, ...]) -> Key:
    return Key(member, lambda node: node.choice(choices), {"enum": list(choices)})


def _choices(
    member: str, choices: tuple[str, ...], listed: Callable[[Node], list[Node]] = _some
) -> Key:
    return Key(
        member,
        lambda node: tuple(item.choice(choices) for item in listed(node)),
        {"type": "array", "items": {"enum": list(choices)}, "minItems": int(listed is _some)},
    )


def _whole(member: str, low: int, high: int) -> Key:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Key(member, lambda node: node.whole(low, high), schema)


def _number(member: str, low: float = -_FINITE, high: float = _FINITE) -> Key:
    bounds = {} if high == _FINITE else {"minimum": low, "maximum": high}
    return Key(member, lambda node: node.number(low, high), {"type": "number", **bounds})


def _truth(member: str) -> Key:
    return Key(member, Node.truth, {"type": "boolean"})


_ENCODE = {
    "columns": _COLUMNS,
    "as": _choice("form", steps.FORMS),
    "min_frequency": Key("min_frequency", _read_frequency, {"type": "number", "minimum": 0}),
    "max_categories": _whole("max_categories", 1, 1_000),
    "smooth": Key(
        "smooth", _read_smooth, {"anyOf": [{"const": "auto"}, {"type": "number", "minimum": 0}]}
    ),
    "folds": _whole("folds", 2, 100),
    "n_features": _whole("n_features", 1, MAX_BUCKETS),
}
WORDS: Mapping[str, Word] = {
    "cast": Word(
        steps.CastStep,
        {
            "columns": _COLUMNS,
            "to": _choice("to", steps.KINDS),
            "format": Key("format", _read_form, _TEXT),
        },
    ),
    "rename": Word(
        steps.RenameStep,
        {},
        Key("names", _read_renames, {"type": "object", "additionalProperties": _NEW}),
    ),
    "select": Word(steps.SelectStep, {"columns": _COLUMNS}),
    "drop": Word(steps.DropStep, {"columns": _COLUMNS}),
    "filter": Word(steps.FilterStep, {}, Key("where", _read_expression, _EXPRESSION)),
    "deduplicate": Word(
        steps.DeduplicateStep, {"columns": _COLUMNS, "keep": _choice("keep", steps.KEEPS)}
    ),
    "impute": Word(
        steps.ImputeStep,
        {
            "columns": _COLUMNS,
            "strategy": _choice("strategy", steps.STRATEGIES),
            "value": Key("value", scalar, {"type": ["string", "number", "boolean"]}),
            "by": _BY,
            "indicator": _truth("indicator"),
        },
    ),
    "encode": Word(steps.EncodeStep, _ENCODE),
    "scale": Word(
        steps.ScaleStep, {"columns": _COLUMNS, "method": _choice("method", steps.METHODS)}
    ),
    "power": Word(
        steps.PowerStep,
        {
            "columns": _COLUMNS,
            "method": _choice("method", steps.POWERS),
            "standardize": _truth("standardize"),
        },
    ),
    "quantile": Word(
        steps.QuantileStep,
        {
            "columns": _COLUMNS,
            "output": _choice("output", steps.OUTPUTS),
            "n_quantiles": _whole("n_quantiles", 2, 100_000),
        },
    ),
    "clip": Word(
        steps.ClipStep,
        {
            "columns": _COLUMNS,
            "lower": _number("lower"),
            "upper": _number("upper"),
            "by": _choice("by", steps.LIMITS),
        },
    ),
    "winsorise": Word(
        steps.WinsoriseStep,
        {
            "columns": _COLUMNS,
            "lower": _number("lower", 0, 1),
            "upper": _number("upper", 0, 1),
        },
    ),
    "bin": Word(
        steps.BinStep,
        {
            "columns": _COLUMNS,
            "method": _choice("method", steps.BINNINGS),
            "n_bins": _whole("n_bins", 2, 1_000),
            "edges": Key(
                "edges",
                _read_numbers,
                {"type": "array", "items": {"type": "number"}, "minItems": 1},
            ),
            "as": _choice("form", steps.BIN_FORMS),
        },
    ),
    "dates": Word(
        steps.DatesStep,
        {
            "columns": _COLUMNS,
            "parts": _choices("parts", steps.PARTS, Node.items),
            "cyclic": _choices("cyclic", tuple(steps.PERIODS)),
        },
    ),
    "ratio": Word(steps.RatioStep, {"columns": _PAIR, "as": _NAME}),
    "difference": Word(steps.DifferenceStep, {"columns": _PAIR, "as": _NAME}),
    "text": Word(
        steps.TextStep,
        {"columns": _COLUMNS, "measures": _choices("measures", steps.MEASURES)},
    ),
    "tfidf": Word(
        steps.TfidfStep,
        {
            "columns": _COLUMNS,
            "max_features": _whole("max_features", 1, MAX_TERMS),
            "ngrams": Key(
                "ngrams",
                _read_ngrams,
                {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
            ),
            "min_df": _whole("min_df", 1, 10**9),
        },
    ),
    "group": Word(
        steps.GroupStep,
        {
            "columns": _COLUMNS,
            "by": _BY,
            "statistics": _choices("statistics", steps.STATISTICS),
        },
    ),
    "expression": Word(
        steps.ExpressionStep,
        {},
        Key(
            "expressions",
            _read_expressions,
            {
                "type": "object",
                "propertyNames": {"pattern": "\\S"},
                "additionalProperties": _EXPRESSION,
            },
        ),
    ),
}
"""Every step by its word."""


def read_step(node: Node) -> FeatureStep:
    """Return the step of one item of a recipe's list; raise ``InputError`` with its line."""
    found = node.fields(WORDS)
    if len(found) != 1:
        raise node.error("A step of the features needs exactly one word.", "- impute: {...}")
    name, body = next(iter(found.items()))
    word = WORDS[name]
    if word.body is not None:
        value = word.body.read(body)
        if not value:
            raise body.error(f"{body.name} is empty.")
        return word.kind(value)
    members = body.fields(word.keys, _required(word))
    given = {key: member for key, member in members.items() if member.value is not None}
    step = word.kind(
        **{word.keys[key].member: word.keys[key].read(member) for key, member in given.items()}
    )
    check = _CHECKS.get(type(step))
    if check is not None:
        check(step, body)
    return step


def _required(word: Word) -> list[str]:
    """Return the keys that a step cannot be without."""
    needed = {name for name, default in _defaults(word).items() if default is MISSING}
    return [key for key, it in word.keys.items() if it.member in needed]


def step_to_dict(step: FeatureStep) -> dict[str, Any]:
    """Return a step in the shape of the file."""
    name = word_of(step)
    word = WORDS[name]
    if word.body is not None:
        value = getattr(step, word.body.member)
        return {name: value if isinstance(value, str) else dict(value)}
    given = {
        key: value
        for key, it in word.keys.items()
        if (value := getattr(step, it.member)) is not None and not _is_off(word, it, value)
    }
    return {name: {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}}


def _is_off(word: Word, key: Key, value: Any) -> bool:
    """Return whether an option is not taken."""
    default = _defaults(word)[key.member]
    return (value is False and default is False) or (value == () and default == ())


def _defaults(word: Word) -> dict[str, Any]:
    return {f.name: f.default for f in fields(word.kind)}  # type: ignore[arg-type]


def word_of(step: FeatureStep) -> str:
    """Return the word of a step."""
    return next(name for name, word in WORDS.items() if word.kind is type(step))


# ------------------------------------------------------------------ checks across keys


def _check_impute(step: steps.ImputeStep, node: Node) -> None:
    if (step.strategy == "constant") != (step.value is not None):
        raise node.error("The strategy constant, and no other, needs the key 'value'.")
    if step.by and step.strategy not in ("mean", "median"):
        raise node.error("A group (by) has a mean or a median; choose one as the strategy.")


_BELONG = {
    "min_frequency": "onehot",
    "max_categories": "onehot",
    "smooth": "target",
    "folds": "target",
    "n_features": "hash",
}


def _check_encode(step: steps.EncodeStep, node: Node) -> None:
    for key, form in _BELONG.items():
        if getattr(step, key) is not None and step.form != form:
            raise node.error(f"'{key}' belongs to 'as: {form}', not to 'as: {step.form}'.")


def _check_clip(step: steps.ClipStep | steps.WinsoriseStep, node: Node) -> None:
    if isinstance(step, steps.ClipStep) and step.by == "values":
        low, high = step.lower, step.upper
        if low is None and high is None:
            raise node.error("A clip by values needs lower, upper or both.")
        if low is not None and high is not None and not low <= high:
            raise node.error("lower must not be greater than upper.")
        return
    low = 0.0 if step.lower is None else step.lower
    high = 1.0 if step.upper is None else step.upper
    if not 0 <= low < high <= 1:
        raise node.error(
            "lower must be less than upper (both are quantiles in [0, 1]).",
            "To clip at values, add 'by: values'." if isinstance(step, steps.ClipStep) else "",
        )


def _check_bin(step: steps.BinStep, node: Node) -> None:
    if (step.method == "edges") != bool(step.edges):
        raise node.error("The method edges, and no other, needs the key 'edges'.")
    if list(step.edges) != sorted(set(step.edges)):
        raise node.error("The edges must rise.")


def _check_dates(step: steps.DatesStep, node: Node) -> None:
    if not step.parts and not step.cyclic:
        raise node.error("The step needs at least one part.")


_CHECKS: Mapping[type, Callable[[Any, Node], None]] = {
    steps.ImputeStep: _check_impute,
    steps.EncodeStep: _check_encode,
    steps.ClipStep: _check_clip,
    steps.WinsoriseStep: _check_clip,
    steps.BinStep: _check_bin,
    steps.DatesStep: _check_dates,
}


# ------------------------------------------------------------------ for editors


def features_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the ``features`` of a recipe file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The features of a recipe",
        "type": "array",
        "items": {"oneOf": [_step_schema(name, word) for name, word in WORDS.items()]},
    }


def _step_schema(name: str, word: Word) -> dict[str, Any]:
    summary = (word.kind.__doc__ or "").strip().splitlines()[0]
    if word.body is not None:
        body = dict(word.body.schema)
    else:
        body = {
            "type": "object",
            "properties": {
                key: {**it.schema, **_default(word, it.member)} for key, it in word.keys.items()
            },
            "required": _required(word),
            "additionalProperties": False,
        }
    return {
        "type": "object",
        "description": summary,
        "properties": {name: body},
        "required": [name],
        "additionalProperties": False,
    }


def _default(word: Word, member: str) -> dict[str, Any]:
    value = _defaults(word)[member]
    if value is MISSING or value is None or value == ():
        return {}
    return {"default": list(value) if isinstance(value, tuple) else value}
