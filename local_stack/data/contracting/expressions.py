"""Conditions that people write into contracts, such as ``amount < id * 2``, compiled to SQL.

DuckDB only parses the text (``json_serialize_sql``); nothing of the text itself is run. The
syntax tree is walked with an allow-list, and new SQL is written from it: columns, literals,
operators, casts between the six types, CASE, and the scalar functions below. There is no
subquery, no aggregate, no function that reads a file, the clock or a setting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local_stack.data import compute
from local_stack.errors import nearest

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

LONGEST = 1_000
"""Most characters of an expression."""
_DEEPEST = 60

_SCALAR = """
    abs ceil ceiling floor round trunc sign sqrt exp ln log log10 log2 pow power mod
    greatest least nullif ifnull isnan isinf isfinite
    length char_length character_length strlen lower upper trim ltrim rtrim left right substr
    substring starts_with ends_with prefix suffix contains instr strpos position split_part
    regexp_matches regexp_full_match concat
    date_part datepart date_trunc datetrunc date_diff datediff year quarter month week day hour
    minute second dayofweek dayofyear weekday isodow isoyear epoch
    to_years to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds
"""
FUNCTIONS = frozenset(_SCALAR.split())
"""Every function an expression may call."""

_INFIX = {"+", "-", "*", "/", "//", "%", "^", "**", "||"}
_LIKE = {"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE"}
_COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}
_CONJUNCTIONS = {"CONJUNCTION_AND": " AND ", "CONJUNCTION_OR": " OR "}
_TYPES = {
    **dict.fromkeys(("bigint", "integer", "int", "long", "int64", "smallint"), "BIGINT"),
    **dict.fromkeys(("double", "float", "real", "float8", "float64"), "DOUBLE"),
    **dict.fromkeys(("varchar", "text", "string"), "VARCHAR"),
    **dict.fromkeys(("boolean", "bool"), "BOOLEAN"),
    "date": "DATE",
    **dict.fromkeys(("timestamp", "datetime"), "TIMESTAMP"),
}


class ExpressionError(Exception):
    """An expression cannot be compiled; ``hint`` says what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL that is true where the condition is kept, and the columns that it reads, in order."""

    sql: str
    columns: tuple[str, ...]


def compiled(connection: Connection, text: str, columns: Mapping[str, str]) -> Compiled:
    """Return ``text`` as SQL over ``columns``, which maps each name to the SQL that reads it.

    A name is taken as it is written, else without regard to case when only one column fits.

    Raises
    ------
    ExpressionError
        The text is not one expression, or uses what is not allowed, or names no column.
    """
    writer = _Writer(columns)
    return Compiled(writer.sql(_tree(connection, text)), tuple(writer.used))


def _tree(connection: Connection, text: str) -> dict[str, Any]:
    if len(text) > LONGEST:
        raise ExpressionError(f"it is longer than {LONGEST} characters", "Split it.")
    # The newlines end a comment, and the brackets keep a second select item out.
    wrapped = f"SELECT (\n{text}\n) AS kept"
    try:
        answer = compute.run(connection, "SELECT json_serialize_sql(?)", [wrapped])[0][0]
        parsed = json.loads(answer)
    except compute.errors() as error:
        raise ExpressionError(f"it is not an expression ({_first_line(error)})") from None
    except RecursionError:
        raise ExpressionError("it is nested too deep", "Split it.") from None
    if parsed.get("error"):
        reason = str(parsed.get("error_message", "")).splitlines()[0:1]
        raise ExpressionError("".join(reason) or "it is not an expression", _EXAMPLE)
    statements = parsed.get("statements", [])
    node = statements[0].get("node", {}) if len(statements) == 1 else {}
    items = node.get("select_list", [])
    plain = node.get("type") == "SELECT_NODE" and node.get("from_table", {}).get("type") == "EMPTY"
    if not plain or len(items) != 1 or items[0].get("alias") != "kept":
        raise ExpressionError("it is more than one expression", _EXAMPLE)
    return dict(items[0])


_EXAMPLE = "Write a condition on columns, such as: amount > 0"


@dataclass(slots=True)
class _Writer:
    """Writes SQL for the nodes of a tree that are allowed, and remembers the columns."""

    columns: Mapping[str, str]
    used: dict[str, None] = field(default_factory=dict)
    depth: int = 0

    def sql(self, node: Mapping[str, Any]) -> str:
        write = _NODES.get(str(node.get("class")))
        if write is None:
            raise _not_allowed(str(node.get("class", "it")).lower().replace("_", " "))
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ExpressionError("it is nested too deep", "Split it.")
        written = write(self, node)
        self.depth -= 1
        return written

    def all(self, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
        return [self.sql(node) for node in nodes]

    def column(self, node: Mapping[str, Any]) -> str:
        name = ".".join(node["column_names"])
        if name not in self.columns:
            alike = [each for each in self.columns if each.casefold() == name.casefold()]
            if len(alike) != 1:
                raise ExpressionError(
                    f"there is no column '{name}'", nearest(name, self.columns) or _columns(self)
                )
            name = alike[0]
        self.used[name] = None
        return self.columns[name]

    def constant(self, node: Mapping[str, Any]) -> str:
        kind, text = node["literal"]["kind"], str(node["literal"]["text"])
        if kind == "INTEGER" and re.fullmatch(r"-?[0-9]+", text):
            return f"({text})"
        if kind == "NUMERIC":
            return f"CAST({quoted(text)} AS DOUBLE)"
        if kind == "STRING":
            return quoted(text)
        if kind == "BOOLEAN":
            return "TRUE" if text == "true" else "FALSE"
        if kind == "NULL_LITERAL":
            return "NULL"
        raise _not_allowed(f"a literal of kind {kind.lower()}")

    def comparison(self, node: Mapping[str, Any]) -> str:
        mark = _COMPARISONS.get(node["type"])
        if mark is None:
            raise _not_allowed(node["type"].lower())
        return f"({self.sql(node['left'])} {mark} {self.sql(node['right'])})"

    def between(self, node: Mapping[str, Any]) -> str:
        value, low, high = self.all([node["input"], node["lower"], node["upper"]])
        return f"({value} BETWEEN {low} AND {high})"

    def conjunction(self, node: Mapping[str, Any]) -> str:
        mark = _CONJUNCTIONS[node["type"]]
        return f"({mark.join(self.all(node['children']))})"

    def operator(self, node: Mapping[str, Any]) -> str:
        write = _OPERATORS.get(node["type"])
        if write is None:
            raise _not_allowed(node["type"].removeprefix("OPERATOR_").lower())
        return write(self.all(node["children"]))

    def case(self, node: Mapping[str, Any]) -> str:
        arms = "".join(
            f" WHEN {self.sql(arm['when_expr'])} THEN {self.sql(arm['then_expr'])}"
            for arm in node["case_checks"]
        )
        return f"(CASE{arms} ELSE {self.sql(node['else_expr'])} END)"

    def cast(self, node: Mapping[str, Any]) -> str:
        kind = node["type_expr"]
        name = _TYPES.get(str(kind.get("type_name")).lower())
        if name is None or kind.get("children") or kind.get("class") != "TYPE":
            raise _not_allowed(f"a cast to {str(kind.get('type_name', 'that')).lower()}")
        word = "TRY_CAST" if node.get("try_cast") else "CAST"
        return f"{word}({self.sql(node['child'])} AS {name})"

    def function(self, node: Mapping[str, Any]) -> str:
        name = str(node["function_name"]).lower()
        path = [str(word).lower() for word in node["qualified_name"]["path"]]
        extras = node.get("filter") or node.get("distinct") or node["order_bys"].get("orders")
        if extras or path != [name] or any(each["name"] for each in node["arguments"]):
            raise _not_allowed(f"that form of {name}()")
        values = self.all([each["expression"] for each in node["arguments"]])
        if name in _INFIX and len(values) == 2:
            return f"({values[0]} {name} {values[1]})"
        if name in ("+", "-") and len(values) == 1:
            return f"({name} {values[0]})"
        if name in _LIKE and len(values) == 2:
            return f"({values[0]} {_LIKE[name]} {values[1]})"
        if name not in FUNCTIONS:
            raise _not_allowed(f"the function {name}()")
        if name.startswith("to_"):  # what makes an interval takes 32 bits
            values = [f"CAST({value} AS INTEGER)" for value in values]
        return f"{name}({', '.join(values)})"


_NODES: dict[str, Callable[[_Writer, Mapping[str, Any]], str]] = {
    "COLUMN_REF": _Writer.column,
    "CONSTANT": _Writer.constant,
    "COMPARISON": _Writer.comparison,
    "BETWEEN": _Writer.between,
    "CONJUNCTION": _Writer.conjunction,
    "OPERATOR": _Writer.operator,
    "CASE": _Writer.case,
    "CAST": _Writer.cast,
    "FUNCTION": _Writer.function,
}

_OPERATORS: dict[str, Callable[[list[str]], str]] = {
    "OPERATOR_NOT": lambda values: f"(NOT {values[0]})",
    "OPERATOR_IS_NULL": lambda values: f"({values[0]} IS NULL)",
    "OPERATOR_IS_NOT_NULL": lambda values: f"({values[0]} IS NOT NULL)",
    "OPERATOR_COALESCE": lambda values: f"coalesce({', '.join(values)})",
    "OPERATOR_NULLIF": lambda values: f"nullif({', '.join(values)})",
    "COMPARE_IN": lambda values: f"({values[0]} IN ({', '.join(values[1:])}))",
    "COMPARE_NOT_IN": lambda values: f"({values[0]} NOT IN ({', '.join(values[1:])}))",
}


def quoted(text: str) -> str:
    """Return any text as an SQL literal; NUL cannot stand in one and is put together."""
    parts = [compute.literal(part) for part in text.split("\0")]
    return parts[0] if len(parts) == 1 else f"({' || chr(0) || '.join(parts)})"


def _not_allowed(what: str) -> ExpressionError:
    return ExpressionError(f"{what} may not be used", _EXAMPLE)


def _columns(writer: _Writer) -> str:
    return f"The columns are: {', '.join(list(writer.columns)[:20])}."


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
