"""Expressions in Polars' syntax, such as ``col('income').log1p() / col('rooms')``.

The text is parsed with Python's ``ast`` and walked with an allow-list; nothing of it is run.
What comes out is a :class:`Term`, our own functions of one row and of many. The results are
those of Polars on columns of doubles, with these differences: what is no number (0 / 0) counts
as missing at once, patterns are literal texts, and a result that is infinite is missing.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from local_stack.errors import InputError, nearest
from local_stack.preparation import functions
from local_stack.preparation.functions import Function
from local_stack.preparation.methods import FUNCTIONS, METHODS, NOUNS
from local_stack.preparation.operations import Bound, Operation, declared, texts
from local_stack.preparation.terms import Term, applied, chosen, constant
from local_stack.preparation.values import NAN, NUMBERS, Values

LONGEST = 2_000
"""Most characters of an expression."""
_DEEPEST = 40
_WIDTH = 72


class ExpressionError(InputError):
    """An expression cannot be used; the message points at the place with a caret."""

    def __init__(self, text: str, place: int, what: str, hint: str = "") -> None:
        pointed = _pointed(text, place)
        super().__init__(
            f"The expression cannot be used: {what} (character {place + 1}).\n{pointed}",
            hint,
            details={"expression": text, "character": place + 1},
        )


def _pointed(text: str, place: int) -> str:
    """Return the text around ``place`` on one line, and a caret under the place."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    first = max(0, min(place - _WIDTH // 2, len(shown) - _WIDTH))
    before = ("…" if first else "") + shown[first:place]
    after = shown[place : first + _WIDTH] + ("…" if first + _WIDTH < len(shown) else "")
    return f"  {before}{after}\n  {' ' * len(before)}^"


@declared
@dataclass(frozen=True, slots=True)
class Expression(Operation):
    """Write the value of an expression; ``reads`` are its columns in the order of the text."""

    word: ClassVar[str] = "expression"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    text: str

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        texts((self.text,))
        if len(self.writes) != 1 or len(set(self.reads)) != len(self.reads):
            raise ValueError("columns of an expression")

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        try:
            term, names = read_expression(self.text, dict(zip(self.reads, kinds, strict=True)))
        except InputError as error:
            raise ValueError("an expression that is none") from error
        if names != self.reads:
            raise ValueError("columns of an expression")
        inner_row, inner_many = term.row, term.many
        if term.kind not in NUMBERS:
            return Bound(
                (term.kind,),
                lambda *values: inner_row(values),
                lambda *columns: (inner_many(columns, len(columns[0])),),
            )

        def row(*values: Any) -> float:
            found = inner_row(values)
            return found if math.isfinite(found) else NAN

        def many(*columns: Values) -> tuple[Values]:
            import numpy as np

            found = inner_many(columns, len(columns[0]))
            return (np.where(np.isfinite(found), found, NAN),)

        return Bound((term.kind,), row, many)


def read_expression(text: str, kinds: Mapping[str, str]) -> tuple[Term, tuple[str, ...]]:
    """Return the term of an expression and the names of the columns it reads.

    Parameters
    ----------
    kinds
        The kind of every column there is.

    Raises
    ------
    ExpressionError
        With the place and the nearest valid word.
    """
    reader = Reader(text, kinds)
    term = reader.term(_tree(text))
    if term.kind in ("duration", "null"):
        raise ExpressionError(
            text,
            0,
            f"its result is {NOUNS[term.kind]}",
            "Turn it into a number with .dt.total_days()." if term.kind == "duration" else "",
        )
    if not reader.names:
        raise ExpressionError(text, 0, "it reads no column", "Name one: col('age').")
    return term, tuple(reader.names)


def columns_of(text: str) -> tuple[str, ...]:
    """Return the names in every ``col('...')`` of an expression, whatever else it holds."""
    found: dict[str, None] = {}
    for node in ast.walk(_tree(text)):
        is_call = isinstance(node, ast.Call) and function_name(node.func) == "col"
        if isinstance(node, ast.Call) and is_call and len(node.args) == 1:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found[argument.value] = None
    return tuple(found)


def _tree(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise ExpressionError(text, LONGEST, f"it is longer than {LONGEST:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as \d in a text
            return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        place = min(max((error.offset or 1) - 1, 0), len(text))
        raise ExpressionError(
            text, place, f"{error.msg or 'it is no expression'}", _EXAMPLE
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError(text, 0, "it is no expression", _EXAMPLE) from None


_EXAMPLE = "Write Polars' syntax, such as: col('a') / col('b')"


def function_name(node: ast.expr) -> str:
    """Return ``f`` for ``f`` and ``pl.f``, and nothing for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.value.id == "pl" else ""
    return ""


@dataclass(slots=True)
class Reader:
    """Walks the tree of an expression and remembers the columns, in order."""

    text: str
    kinds: Mapping[str, str]
    names: dict[str, int] = field(default_factory=dict)
    depth: int = 0

    # -------------------------------------------------------------- errors

    def place(self, node: ast.AST, *, at_end: bool = False) -> int:
        """Return the number of the character (from 0) where a node starts or ends."""
        line = getattr(node, "end_lineno" if at_end else "lineno", 1)
        column = getattr(node, "end_col_offset" if at_end else "col_offset", 0)
        stripped = self.text.strip()
        lines = stripped.split("\n")
        before = sum(len(part) + 1 for part in lines[: line - 1])
        behind = lines[line - 1].encode("utf-8", "surrogatepass")[:column]
        start = self.text.index(stripped) if stripped else 0
        return start + before + len(behind.decode("utf-8", "ignore"))

    def error(self, node: ast.AST, what: str, hint: str = "") -> ExpressionError:
        """Return an error that points at ``node``."""
        return ExpressionError(self.text, self.place(node), what, hint)

    def wrong_name(
        self, node: ast.Attribute | ast.Name, what: str, known: Sequence[str]
    ) -> ExpressionError:
        """Return an error that points at a word and names the nearest one."""
        word = node.attr if isinstance(node, ast.Attribute) else node.id
        place = self.place(node, at_end=True) - len(word)
        hint = nearest(word, known) or f"There are: {', '.join(sorted(known))}."
        return ExpressionError(self.text, place, f"{what} '{word}'", hint)

    # -------------------------------------------------------------- nodes

    def term(self, node: ast.expr) -> Term:
        """Return the term of any node, or raise."""
        read = _NODES.get(type(node))
        if read is None:
            raise self.error(node, "this is not part of Polars' syntax", _EXAMPLE)
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(node, "it is nested too deep", "Split it into several columns.")
        found = read(self, node)
        self.depth -= 1
        return found

    def _binary(self, node: ast.BinOp) -> Term:
        mark = _MARKS.get(type(node.op))
        if mark is None:
            raise self.error(node, "this operator is not available", _EXAMPLE)
        left, right = self.term(node.left), self.term(node.right)
        if mark == "-" and (left.kind, right.kind) == ("moment", "moment"):
            return self.apply(node, functions.TIME_BETWEEN, left, right)
        if mark == "+" and (left.kind, right.kind) == ("text", "text"):
            return self.apply(node, functions.joined("", 2), left, right)
        function = functions.ARITHMETIC.get(mark) or functions.LOGIC[mark]
        return self.apply(node, function, left, right)

    def _unary(self, node: ast.UnaryOp) -> Term:
        inner = self.term(node.operand)
        if isinstance(node.op, ast.USub):
            if inner.is_constant and inner.kind == "number":
                return constant(-inner.value)
            return self.apply(node, functions.NEGATIVE, inner)
        if isinstance(node.op, ast.Invert):
            return self.apply(node, functions.NOT, inner)
        if isinstance(node.op, ast.UAdd):
            return inner
        raise self.error(node, "'not' is not part of Polars' syntax", "Write ~ before it.")

    def _compare(self, node: ast.Compare) -> Term:
        mark = _COMPARISONS.get(type(node.ops[0]))
        if mark is None or len(node.ops) != 1:
            raise self.error(
                node, "this comparison is not available", "Write (a < b) & (b < c), or is_in."
            )
        left, right = self.term(node.left), self.term(node.comparators[0])
        kind = "number" if left.kind in NUMBERS else left.kind
        return self.apply(node, functions.comparison(mark, kind), left, right)

    def _words(self, node: ast.BoolOp) -> Term:
        word, mark = ("and", "&") if isinstance(node.op, ast.And) else ("or", "|")
        raise self.error(
            node.values[0],
            f"'{word}' is not part of Polars' syntax",
            f"Write {mark} and brackets: (a > 1) {mark} (b > 2).",
        )

    def _literal(self, node: ast.Constant) -> Term:
        value = node.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                value = float(value)
            except OverflowError:
                value = math.inf
            if not math.isfinite(value):
                raise self.error(node, "the number is too large")
        elif value is not None and not isinstance(value, bool | str):
            raise self.error(node, "this is no number and no text", _EXAMPLE)
        return constant(value)

    def _name(self, node: ast.Name) -> Term:
        if node.id in self.kinds:
            raise self.error(node, f"'{node.id}' is a column", f"Write col('{node.id}').")
        raise self.wrong_name(node, "there is nothing called", tuple(FUNCTIONS))

    def _attribute(self, node: ast.Attribute) -> Term:
        raise self.error(node, f"'{node.attr}' is not called", f"Write .{node.attr}().")

    def _call(self, node: ast.Call) -> Term:
        function = node.func
        name = function_name(function)
        if name:
            if name not in FUNCTIONS:
                assert isinstance(function, ast.Name | ast.Attribute)
                raise self.wrong_name(function, "there is no function", tuple(FUNCTIONS))
            return FUNCTIONS[name](self, node)
        if not isinstance(function, ast.Attribute):
            raise self.error(node, "this cannot be called", _EXAMPLE)
        if function.attr in ("then", "otherwise", "when"):
            return self._case(node)
        return self._method(node, function)

    def _method(self, node: ast.Call, function: ast.Attribute) -> Term:
        inner, word = function.value, function.attr
        if isinstance(inner, ast.Attribute) and inner.attr in ("str", "dt"):
            word, inner = f"{inner.attr}.{word}", inner.value
        target = self.term(inner)
        if word in functions.UNARY:
            self.arguments(node, ())
            return self.apply(node, functions.UNARY[word], target)
        if word not in METHODS:
            space = f"{word.partition('.')[0]}." if "." in word else ""
            known = [*METHODS, *functions.UNARY]
            alike = [w.removeprefix(space) for w in known if ("." in w) == bool(space)]
            raise self.wrong_name(function, "there is no method", [a for a in alike if a])
        return METHODS[word](self, node, target)

    # -------------------------------------------------------------- when, then, otherwise

    def _case(self, node: ast.Call) -> Term:
        is_whole = isinstance(node.func, ast.Attribute) and node.func.attr == "otherwise"
        inner = node
        other = constant(None)
        if is_whole:
            assert isinstance(node.func, ast.Attribute)
            other = self.value(self.only(node), is_literal=False)
            inner = node.func.value  # type: ignore[assignment]
        arms, condition = self._arms(inner)
        if condition is not None or not arms:
            raise self.error(node, "a when needs a then", "Write when(...).then(...).")
        kind = self.common(node, [*(value for _, value in arms), other])
        return chosen(kind, arms, other)

    def _arms(self, node: ast.expr) -> tuple[list[tuple[Term, Term]], Term | None]:
        """Return condition and value of each arm, and the condition that has no value yet."""
        if not isinstance(node, ast.Call):
            raise self.error(node, "then and otherwise belong behind a when")
        if function_name(node.func) == "when":
            return [], self._condition(node)
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in ("then", "when"):
            raise self.error(node, "then and otherwise belong behind a when")
        arms, condition = self._arms(node.func.value)
        if node.func.attr == "when":
            if condition is not None:
                raise self.error(node, "a when needs a then")
            return arms, self._condition(node)
        if condition is None:
            raise self.error(node, "a then needs a when")
        return [*arms, (condition, self.value(self.only(node), is_literal=False))], None

    def _condition(self, node: ast.Call) -> Term:
        found = self.term(self.only(node))
        if found.kind != "boolean":
            raise self.error(node, f"a when needs a condition, not {NOUNS[found.kind]}")
        return found

    # -------------------------------------------------------------- arguments

    def only(self, node: ast.Call) -> ast.expr:
        """Return the one argument of a call."""
        if len(node.args) != 1 or node.keywords:
            raise self.error(node, "this takes one argument")
        return node.args[0]

    def arguments(self, node: ast.Call, names: Sequence[str]) -> dict[str, ast.expr]:
        """Return the arguments of a call by name; those that are left out are not there."""
        if len(node.args) > len(names):
            raise self.error(node, f"this takes {len(names) or 'no'} arguments at most")
        found = dict(zip(names, node.args, strict=False))
        for keyword in node.keywords:
            if keyword.arg not in names or keyword.arg in found:
                raise self.error(
                    keyword.value,
                    f"this takes no argument '{keyword.arg}'",
                    nearest(str(keyword.arg), names),
                )
            found[str(keyword.arg)] = keyword.value
        return found

    def fixed(self, node: ast.expr, kind: str) -> Any:
        """Return the value of an argument that must be written out."""
        found = self.term(node)
        if not found.is_constant or found.kind != kind:
            raise self.error(node, f"this must be {NOUNS[kind]}, written out")
        return found.value

    def value(self, node: ast.expr, *, is_literal: bool) -> Term:
        """Return an argument; a text is itself, or as Polars has it the name of a column."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not is_literal:
            return self.column(node, node.value)
        return self.term(node)

    def column(self, node: ast.AST, name: str) -> Term:
        """Return the term of a column."""
        if name not in self.kinds:
            raise self.error(node, f"there is no column '{name}'", nearest(name, tuple(self.kinds)))
        at = self.names.setdefault(name, len(self.names))
        return Term(self.kinds[name], lambda values: values[at], lambda columns, _: columns[at])

    def common(self, node: ast.AST, terms: Sequence[Term]) -> str:
        """Return the kind that values of several terms have."""
        kinds = {term.kind for term in terms} - {"null"}
        if kinds == {"number", "boolean"}:
            return "number"
        if len(kinds) != 1:
            nouns = " and ".join(sorted(NOUNS[kind] for kind in kinds)) or "nothing"
            raise self.error(node, f"its values are {nouns}")
        return kinds.pop()

    def apply(self, node: ast.AST, function: Function, *terms: Term) -> Term:
        """Return a function of terms, whose kinds must be those it takes."""
        for wanted, term in zip(function.takes, terms, strict=True):
            if wanted != term.kind and not (wanted == "number" and term.kind == "boolean"):
                raise self.error(node, f"this takes {NOUNS[wanted]}, not {NOUNS[term.kind]}")
        return applied(function, terms)


_NODES: Mapping[type[ast.expr], Callable[[Reader, Any], Term]] = {
    ast.BinOp: Reader._binary,
    ast.UnaryOp: Reader._unary,
    ast.Compare: Reader._compare,
    ast.BoolOp: Reader._words,
    ast.Constant: Reader._literal,
    ast.Name: Reader._name,
    ast.Attribute: Reader._attribute,
    ast.Call: Reader._call,
}
_MARKS: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
}
_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
