"""The functions and methods that an expression can call: how their arguments are read."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from local_stack.preparation import functions
from local_stack.preparation.functions import Function
from local_stack.preparation.terms import Term, first_present, missing
from local_stack.preparation.texts import (
    double_of_text,
    int64_of_number,
    int64_of_text,
    truth_of_number,
)
from local_stack.preparation.values import NUMBERS

if TYPE_CHECKING:
    from local_stack.preparation.expressions import Reader

NOUNS = {
    "number": "a number",
    "boolean": "true or false",
    "text": "a text",
    "moment": "a date",
    "duration": "a length of time",
    "null": "nothing",
}
"""What each kind of term is called."""


def _col(reader: Reader, node: ast.Call) -> Term:
    argument = reader.only(node)
    if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
        raise reader.error(argument, "col takes the name of a column in quotes")
    return reader.column(argument, argument.value)


def _lit(reader: Reader, node: ast.Call) -> Term:
    found = reader.term(reader.only(node))
    if not found.is_constant:
        raise reader.error(node, "lit takes a number or a text, written out")
    return found


def _when(reader: Reader, node: ast.Call) -> Term:
    raise reader.error(node, "a when needs a then", "Write when(...).then(...).otherwise(...).")


def _several(reader: Reader, node: ast.Call) -> list[Term]:
    nodes = list(node.args)
    if len(nodes) == 1 and isinstance(nodes[0], ast.List | ast.Tuple):
        nodes = list(nodes[0].elts)
    if not nodes:
        raise reader.error(node, "this takes at least one column")
    return [reader.value(item, is_literal=False) for item in nodes]


def _horizontal(name: str) -> Callable[[Reader, ast.Call], Term]:
    def read(reader: Reader, node: ast.Call) -> Term:
        terms = _several(reader, node)
        function = Function(("number",) * len(terms), "number", functions.HORIZONTAL[name])
        return reader.apply(node, function, *terms)

    return read


def _coalesce(reader: Reader, node: ast.Call) -> Term:
    terms = _several(reader, node)
    return first_present(reader.common(node, terms), terms)


def _concat(reader: Reader, node: ast.Call) -> Term:
    separator = ""
    for keyword in node.keywords:
        if keyword.arg != "separator":
            raise reader.error(keyword.value, f"this takes no argument '{keyword.arg}'")
        separator = reader.fixed(keyword.value, "text")
    terms = _several(reader, node)
    return reader.apply(node, functions.joined(separator, len(terms)), *terms)


FUNCTIONS: Mapping[str, Callable[[Reader, ast.Call], Term]] = {
    "col": _col,
    "lit": _lit,
    "when": _when,
    "coalesce": _coalesce,
    "concat_str": _concat,
    **{name: _horizontal(name) for name in functions.HORIZONTAL},
}
"""Functions that stand alone or behind ``pl.``"""


# ------------------------------------------------------------------ methods


def _presence(*, is_so: bool) -> Callable[[Reader, ast.Call, Term], Term]:
    def read(reader: Reader, node: ast.Call, target: Term) -> Term:
        reader.arguments(node, ())
        return missing(target, is_so=is_so)

    return read


def _whole_argument(reader: Reader, node: ast.expr) -> int:
    value = reader.fixed(node, "number")
    if not value.is_integer() or abs(value) > 1_000_000:
        raise reader.error(node, "this must be a whole number")
    return int(value)


def _round(reader: Reader, node: ast.Call, target: Term) -> Term:
    given = reader.arguments(node, ("decimals",))
    decimals = _whole_argument(reader, given["decimals"]) if given else 0
    if not 0 <= decimals <= 15:
        raise reader.error(node, "the number of decimals must be from 0 to 15")
    return reader.apply(node, functions.rounded(decimals), target)


def _log(reader: Reader, node: ast.Call, target: Term) -> Term:
    given = reader.arguments(node, ("base",))
    base = reader.fixed(given["base"], "number") if given else None
    if base is not None and (base <= 0 or base == 1):
        raise reader.error(given["base"], "the base of a logarithm is above 0 and not 1")
    return reader.apply(node, functions.logarithm(base), target)


def _pow(reader: Reader, node: ast.Call, target: Term) -> Term:
    exponent = reader.value(reader.only(node), is_literal=False)
    return reader.apply(node, functions.ARITHMETIC["**"], target, exponent)


def _clip(reader: Reader, node: ast.Call, target: Term) -> Term:
    given = reader.arguments(node, ("lower_bound", "upper_bound"))
    bounds = [
        reader.fixed(given[name], "number") if name in given else None
        for name in ("lower_bound", "upper_bound")
    ]
    return reader.apply(node, functions.clipped(*bounds), target)


def _fill_null(reader: Reader, node: ast.Call, target: Term) -> Term:
    value = reader.value(reader.only(node), is_literal=True)
    terms = [target, value]
    return first_present(reader.common(node, terms), terms)


def _is_in(reader: Reader, node: ast.Call, target: Term) -> Term:
    choices = reader.only(node)
    if not isinstance(choices, ast.List | ast.Tuple | ast.Set) or not choices.elts:
        raise reader.error(choices, "is_in takes a list of numbers or texts, written out")
    kind = "number" if target.kind in NUMBERS else target.kind
    found = [reader.term(item) for item in choices.elts]
    for item, term in zip(choices.elts, found, strict=True):
        if not term.is_constant or (term.kind != target.kind and term.kind != kind):
            raise reader.error(item, f"this must be {NOUNS[target.kind]}, written out")
    return reader.apply(node, functions.among(kind, frozenset(t.value for t in found)), target)


def _is_between(reader: Reader, node: ast.Call, target: Term) -> Term:
    given = reader.arguments(node, ("lower_bound", "upper_bound", "closed"))
    if not {"lower_bound", "upper_bound"} <= set(given):
        raise reader.error(node, "is_between takes a lower and an upper bound")
    closed = reader.fixed(given["closed"], "text") if "closed" in given else "both"
    if closed not in ("both", "left", "right", "none"):
        raise reader.error(given["closed"], "closed is both, left, right or none")
    low, high = (
        reader.value(given[name], is_literal=False) for name in ("lower_bound", "upper_bound")
    )
    kind = "number" if target.kind in NUMBERS else target.kind
    above = functions.comparison(">=" if closed in ("both", "left") else ">", kind)
    below = functions.comparison("<=" if closed in ("both", "right") else "<", kind)
    return reader.apply(
        node,
        functions.LOGIC["&"],
        reader.apply(node, above, target, low),
        reader.apply(node, below, target, high),
    )


_CASTS: Mapping[str, Function] = {
    "Float64": Function(("number",), "number", lambda x: x),
    "Int64": Function(("number",), "number", int64_of_number),
    "Boolean": Function(("number",), "boolean", truth_of_number),
}
_CASTS_OF_TEXT: Mapping[str, Function] = {
    "Float64": Function(("text",), "number", double_of_text),
    "Int64": Function(("text",), "number", int64_of_text),
}


def _cast(reader: Reader, node: ast.Call, target: Term) -> Term:
    given = reader.arguments(node, ("dtype", "strict"))
    if "dtype" not in given:
        raise reader.error(node, "cast takes a type, such as pl.Float64")
    kind = given["dtype"]
    name = kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "")
    if name not in _CASTS:
        raise reader.error(kind, "cast takes pl.Float64, pl.Int64 or pl.Boolean")
    casts = {**_CASTS, **_CASTS_OF_TEXT} if target.kind == "text" else _CASTS
    return reader.apply(node, casts[name], target)


# ------------------------------------------------------------------ methods of texts


def _text_argument(
    gives: str, make: Callable[[str], Callable[[str], Any]], name: str
) -> Callable[[Reader, ast.Call, Term], Term]:
    """Return the reader of a method that takes one text, written out."""

    def read(reader: Reader, node: ast.Call, target: Term) -> Term:
        given = reader.arguments(node, (name,))
        if name not in given:
            raise reader.error(node, "this takes a text")
        call = make(reader.fixed(given[name], "text"))
        function = functions.of_text("number" if gives == "boolean" else gives, call)
        return reader.apply(node, Function(function.takes, gives, function.row), target)

    return read


def _literally(reader: Reader, node: ast.Call, given: Mapping[str, ast.expr]) -> None:
    if "pattern" not in given:
        raise reader.error(node, "this takes a text")
    is_literal = "literal" in given and reader.fixed(given["literal"], "boolean")
    if not is_literal:
        raise reader.error(node, "patterns are not available", "Add the argument literal=True.")


def _contains(reader: Reader, node: ast.Call, target: Term) -> Term:
    given = reader.arguments(node, ("pattern", "literal", "strict"))
    _literally(reader, node, given)
    wanted = reader.fixed(given["pattern"], "text")
    row = functions.of_text("number", lambda text: wanted in text).row
    return reader.apply(node, Function(("text",), "boolean", row), target)


def _count(reader: Reader, node: ast.Call, target: Term) -> Term:
    given = reader.arguments(node, ("pattern", "literal"))
    _literally(reader, node, given)
    wanted = reader.fixed(given["pattern"], "text")
    if not wanted:
        raise reader.error(node, "the text to count is empty")
    return reader.apply(node, functions.of_text("number", lambda t: t.count(wanted)), target)


def _replace(n_most: int) -> Callable[[Reader, ast.Call, Term], Term]:
    def read(reader: Reader, node: ast.Call, target: Term) -> Term:
        given = reader.arguments(node, ("pattern", "value", "literal"))
        _literally(reader, node, given)
        if "value" not in given:
            raise reader.error(node, "this takes the text to replace and its replacement")
        old, new = (reader.fixed(given[name], "text") for name in ("pattern", "value"))
        if not old:
            raise reader.error(node, "the text to replace is empty")
        return reader.apply(node, functions.replaced(old, new, n_most), target)

    return read


def _slice(reader: Reader, node: ast.Call, target: Term) -> Term:
    given = reader.arguments(node, ("offset", "length"))
    if "offset" not in given:
        raise reader.error(node, "slice takes an offset")
    offset = _whole_argument(reader, given["offset"])
    length = _whole_argument(reader, given["length"]) if "length" in given else None
    if length is not None and length < 0:
        raise reader.error(given["length"], "the length cannot be negative")
    return reader.apply(node, functions.sliced(offset, length), target)


def _end(*, is_head: bool) -> Callable[[Reader, ast.Call, Term], Term]:
    def read(reader: Reader, node: ast.Call, target: Term) -> Term:
        n_characters = _whole_argument(reader, reader.only(node))
        if n_characters < 0:
            raise reader.error(node, "the number of characters cannot be negative")
        function = functions.sliced(0, n_characters)
        if not is_head:
            function = functions.of_text(
                "text", lambda t: t[-n_characters:] if n_characters else ""
            )
        return reader.apply(node, function, target)

    return read


_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""Unicode's White_Space, which Polars strips; Python also strips the separators \\x1c to \\x1f."""


def _strip(reader: Reader, node: ast.Call, target: Term) -> Term:
    given = reader.arguments(node, ("characters",))
    characters = reader.fixed(given["characters"], "text") if given else _SPACES
    return reader.apply(node, functions.of_text("text", lambda t: t.strip(characters)), target)


METHODS: Mapping[str, Callable[[Reader, ast.Call, Term], Term]] = {
    "is_null": _presence(is_so=True),
    "is_not_null": _presence(is_so=False),
    "round": _round,
    "log": _log,
    "pow": _pow,
    "clip": _clip,
    "fill_null": _fill_null,
    "is_in": _is_in,
    "is_between": _is_between,
    "cast": _cast,
    "str.contains": _contains,
    "str.count_matches": _count,
    "str.replace": _replace(1),
    "str.replace_all": _replace(-1),
    "str.slice": _slice,
    "str.head": _end(is_head=True),
    "str.tail": _end(is_head=False),
    "str.strip_chars": _strip,
    "str.starts_with": _text_argument("boolean", lambda p: lambda t: t.startswith(p), "prefix"),
    "str.ends_with": _text_argument("boolean", lambda p: lambda t: t.endswith(p), "suffix"),
    "str.strip_prefix": _text_argument("text", lambda p: lambda t: t.removeprefix(p), "prefix"),
    "str.strip_suffix": _text_argument("text", lambda p: lambda t: t.removesuffix(p), "suffix"),
}
"""Methods that take arguments, or that look at what is missing."""
