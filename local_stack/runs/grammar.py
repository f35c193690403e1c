"""The grammar of run searches: text in, a typed tree or one clear :class:`InputError` out.

Everything MLflow 3 documents for ``search_runs`` means here what it means there: entity types and
their aliases, quoted keys, comparators per type, text taken raw between its quotation marks.
Added are ``OR``, ``NOT``, parentheses, ``BETWEEN``, ``NOT LIKE``, lists for every text field,
numeric comparison of params, metric against metric, and ``attributes.duration``.
Words that the parser of MLflow lets pass by accident (a missing, doubled or dangling ``AND``,
comments) are refused, because beside ``OR`` their meaning could not be guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from local_stack.errors import InputError, nearest
from local_stack.runs.tokens import QUOTE_KEY, Token, brief, fault, tokens, unquoted

MAX_DEPTH: Final = 50
"""Parentheses and NOTs inside each other."""

MAX_TERMS: Final = 200
"""Comparisons in one filter."""


class Kind(StrEnum):
    """What a field belongs to, by MLflow's own word for it."""

    METRIC = "metric"
    PARAM = "parameter"
    TAG = "tag"
    ATTRIBUTE = "attribute"
    DATASET = "dataset"


KINDS: Final = {
    **dict.fromkeys(("metrics", "metric"), Kind.METRIC),
    **dict.fromkeys(("params", "param", "parameters", "parameter"), Kind.PARAM),
    **dict.fromkeys(("tags", "tag"), Kind.TAG),
    **dict.fromkeys(("attributes", "attribute", "attr", "run"), Kind.ATTRIBUTE),
    **dict.fromkeys(("datasets", "dataset"), Kind.DATASET),
}
"""Each word that may stand before the dot. Case matters, as in MLflow."""

ATTRIBUTES: Final = {
    **{name: name for name in ("run_id", "run_name", "user_id", "status", "artifact_uri")},
    **{name: name for name in ("start_time", "end_time", "duration")},
    **dict.fromkeys(("created", "Created"), "start_time"),
    **dict.fromkeys(("run name", "Run name", "Run Name"), "run_name"),
}
"""Each name of an attribute and the attribute it means."""

NUMERIC_ATTRIBUTES: Final = frozenset({"start_time", "end_time", "duration"})
"""Times are milliseconds since 1970 (MLflow's unit), the duration is seconds."""

DATASET_KEYS: Final = ("name", "digest", "context")

_ATTRIBUTE_NAMES = tuple(sorted(set(ATTRIBUTES.values())))
_EQUALITY = ("=", "!=")
_NUMERIC = (*_EQUALITY, "<", "<=", ">", ">=", "BETWEEN")
_TEXTUAL = (*_EQUALITY, "LIKE", "ILIKE", "IN")
_NULL = ("IS NULL", "IS NOT NULL")
_PHRASES = ("LIKE", "ILIKE", "IN", "BETWEEN")
_KEYWORDS = (*_PHRASES, "AND", "OR", "NOT", "IS", "NULL")
_LIKELY_MEANT = {"==": "=", "<>": "!=", "=>": ">=", "=<": "<=", "~": "LIKE", "!": "!="}


@dataclass(frozen=True, slots=True)
class Field:
    """One thing of a run that can be compared; ``key`` of an attribute is its canonical name."""

    kind: Kind
    key: str

    @property
    def holds_numbers(self) -> bool:
        """Whether a number may stand on the other side."""
        if self.kind is Kind.ATTRIBUTE:
            return self.key in NUMERIC_ATTRIBUTES
        return self.kind in (Kind.METRIC, Kind.PARAM)

    @property
    def holds_text(self) -> bool:
        """Whether quoted text may stand on the other side."""
        return self.kind is Kind.PARAM or not self.holds_numbers

    @property
    def operators(self) -> tuple[str, ...]:
        """The comparators that fit, without the NOT that may precede a word."""
        fitting = (
            *(_NUMERIC if self.holds_numbers else ()),
            *(_TEXTUAL if self.holds_text else ()),
            *(_NULL if self.kind in (Kind.PARAM, Kind.TAG) else ()),
        )
        return tuple(dict.fromkeys(fitting))


@dataclass(frozen=True, slots=True)
class NumberTest:
    """``field operator number``, the operator one of ``= != < <= > >=``."""

    field: Field
    operator: str
    number: float


@dataclass(frozen=True, slots=True)
class MetricTest:
    """``metric operator metric``."""

    left: Field
    operator: str
    right: Field


@dataclass(frozen=True, slots=True)
class RangeTest:
    """``field [NOT] BETWEEN low AND high``, both ends included."""

    field: Field
    low: float
    high: float
    negated: bool


@dataclass(frozen=True, slots=True)
class TextTest:
    """``field operator text``: ``=``, ``!=``, ``LIKE``, ``ILIKE``, ``NOT LIKE``, ``NOT ILIKE``."""

    field: Field
    operator: str
    text: str


@dataclass(frozen=True, slots=True)
class ListTest:
    """``field [NOT] IN (texts)``."""

    field: Field
    texts: tuple[str, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class NullTest:
    """``field IS [NOT] NULL``."""

    field: Field
    negated: bool


@dataclass(frozen=True, slots=True)
class And:
    """All of the items hold."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the items holds."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The item does not hold; a run that lacks the field counts as one where it does not."""

    item: Node


Test = NumberTest | MetricTest | RangeTest | TextTest | ListTest | NullTest
Node = Test | And | Or | Not


@dataclass(frozen=True, slots=True)
class Ordering:
    """One key to sort by."""

    field: Field
    descending: bool


def parse_filter(text: str) -> Node | None:
    """Return the tree of a filter, or ``None`` for one that holds nothing.

    Raises
    ------
    InputError
        The text is no filter; ``details["position"]`` is the index of the character at fault.
    """
    parser = _Parser(text)
    return None if parser.at_end else parser.whole_filter()


def parse_order(text: str) -> Ordering:
    """Return the sort key of one order clause, ``field [ASC|DESC]``.

    Raises
    ------
    InputError
        The text is no order clause; MLflow refuses blanks around one, and so does this.
    """
    if text != text.strip():
        place = len(text.rstrip()) if text == text.lstrip() else 0
        raise fault(text, place, "An order clause has blanks around it.", "Remove them.")
    return _Parser(text).whole_order()


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._index = 0
        self._terms = 0

    @property
    def at_end(self) -> bool:
        return self._token.kind == "end"

    def whole_filter(self) -> Node:
        node = self._either(0)
        if not self.at_end:
            raise self._no_connector()
        return node

    def whole_order(self) -> Ordering:
        field = self._field()
        direction = self._advance()
        if direction.kind == "end":
            return Ordering(field, descending=False)
        if not (direction.says("ASC") or direction.says("DESC")):
            hint = nearest(direction.text.upper(), ("ASC", "DESC")) or "Use ASC or DESC."
            raise self._fault(direction, "After the field stands ASC or DESC.", hint)
        if not self.at_end:
            raise self._fault(
                self._token, "An order clause ends after ASC or DESC.", "Remove what follows."
            )
        return Ordering(field, descending=direction.says("DESC"))

    @property
    def _token(self) -> Token:
        return self._tokens[self._index]

    def _advance(self) -> Token:
        token = self._token
        self._index = min(self._index + 1, len(self._tokens) - 1)
        return token

    def _take(self, word: str) -> bool:
        if self._token.says(word):
            self._advance()
            return True
        return False

    def _fault(self, token: Token, message: str, hint: str = "") -> InputError:
        return fault(self._text, token.start, message, hint)

    def _either(self, depth: int) -> Node:
        items = [self._both(depth)]
        while self._take("OR"):
            items.append(self._both(depth))
        return items[0] if len(items) == 1 else Or(tuple(items))

    def _both(self, depth: int) -> Node:
        items = [self._term(depth)]
        while self._take("AND"):
            items.append(self._term(depth))
        return items[0] if len(items) == 1 else And(tuple(items))

    def _term(self, depth: int) -> Node:
        first = self._token
        if depth > MAX_DEPTH:
            message = f"Parentheses and NOT go at most {MAX_DEPTH} deep."
            raise self._fault(first, message, "Write the filter with fewer of them.")
        if self._take("NOT"):
            return Not(self._term(depth + 1))
        if not self._take("("):
            return self._test()
        node = self._either(depth + 1)
        if self.at_end:
            raise self._fault(first, "This parenthesis is never closed.", "Add ')'.")
        if not self._take(")"):
            raise self._no_connector()
        return node

    def _test(self) -> Test:
        self._terms += 1
        if self._terms > MAX_TERMS:
            message = f"A filter has at most {MAX_TERMS} comparisons."
            raise self._fault(self._token, message, "Use IN for many values of one field.")
        field = self._field()
        first = self._token
        operator = self._operator(field)
        negated = operator.startswith("NOT ")
        if operator in _NULL:
            return NullTest(field, operator == "IS NOT NULL")
        if operator.endswith("BETWEEN"):
            return self._range(field, negated)
        if operator in ("IN", "NOT IN"):
            return ListTest(field, self._list(), negated)
        if operator.endswith("LIKE"):
            return TextTest(field, operator, self._quoted())
        return self._comparison(field, operator, first)

    def _field(self) -> Field:
        token = self._advance()
        if token.kind == "field":
            return self._qualified(token)
        if self._may_name(token):
            name = unquoted(token.text)
            if name not in ATTRIBUTES:
                raise self._no_attribute(name, token.start, is_bare=True)
            return Field(Kind.ATTRIBUTE, ATTRIBUTES[name])
        raise self._fault(
            token,
            "A field is missing here." if token.kind == "end" else "A field has to stand here.",
            "Name one such as metrics.rmse, params.alpha, tags.team or attributes.status.",
        )

    def _may_name(self, token: Token) -> bool:
        if token.kind == "word":
            return token.text.upper() not in _KEYWORDS
        return token.kind in ("text", "name") and not token.text.startswith("'")

    def _qualified(self, token: Token) -> Field:
        head, key = (unquoted(part) for part in token.text.split(".", 1))
        place = token.start + token.text.index(".") + 1
        kind = KINDS.get(head)
        if kind is None:
            hint = _suggest(head, KINDS, ("metrics", "params", "tags", "attributes", "datasets"))
            raise self._fault(token, f"'{brief(head)}' is not something a run has.", hint)
        if not key:
            raise fault(self._text, place, "The key is empty.", "Write it after the dot.")
        if kind is Kind.ATTRIBUTE:
            if key not in ATTRIBUTES:
                raise self._no_attribute(key, place, is_bare=False)
            return Field(kind, ATTRIBUTES[key])
        if kind is Kind.DATASET and key not in DATASET_KEYS:
            hint = _suggest(key, DATASET_KEYS, DATASET_KEYS)
            raise fault(self._text, place, f"A dataset has no '{brief(key)}'.", hint)
        return Field(kind, key)

    def _operator(self, field: Field) -> str:
        first = self._advance()
        word = first.text.upper()
        negation = ""
        if first.says("IS"):
            word = "IS NOT NULL" if self._take("NOT") else "IS NULL"
            if not self._take("NULL"):
                raise self._fault(self._token, "After IS stands NULL or NOT NULL.", "Write NULL.")
        elif first.says("NOT") and self._token.text.upper() in _PHRASES:
            negation, word = "NOT ", self._advance().text.upper()
        if word in field.operators:
            return negation + word
        if first.kind != "operator" and word not in (*_PHRASES, *_NULL):
            raise self._no_operator(first, field)
        meant = _LIKELY_MEANT.get(word, "")
        raise self._fault(
            first,
            f"A {_described(field)} cannot be compared with '{negation}{brief(word)}'.",
            f"Did you mean '{meant}'?"
            if meant in field.operators
            else f"Use one of {', '.join(field.operators)}.",
        )

    def _comparison(self, field: Field, operator: str, first: Token) -> Test:
        token = self._token
        if token.kind == "field" and field.kind is Kind.METRIC:
            other = self._field()
            if other.kind is not Kind.METRIC:
                message = "A metric is compared with a number or another metric."
                raise self._fault(token, message, "Name a metric here.")
            return MetricTest(field, operator, other)
        if token.kind == "text" and field.holds_text and operator not in _EQUALITY:
            message = f"Text in quotation marks cannot be compared with '{operator}'."
            raise self._fault(first, message, "Leave them out to compare as a number.")
        wants_number = token.kind == "number" or operator not in _EQUALITY
        if field.holds_numbers and (wants_number or not field.holds_text):
            return NumberTest(field, operator, self._number())
        return TextTest(field, operator, self._quoted())

    def _range(self, field: Field, negated: bool) -> RangeTest:
        low = self._number()
        if not self._take("AND"):
            message = "Between the two ends of BETWEEN stands AND."
            raise self._fault(self._token, message, "Write BETWEEN 1 AND 2.")
        return RangeTest(field, low, self._number(), negated)

    def _list(self) -> tuple[str, ...]:
        if not self._take("("):
            message = "After IN stands a list in parentheses."
            raise self._fault(self._token, message, "Write IN ('a', 'b').")
        texts = [self._quoted()]
        while self._take(",") and not self._token.says(")"):
            texts.append(self._quoted())
        if not self._take(")"):
            message = "The values of a list have commas between them and ')' at the end."
            raise self._fault(self._token, message, "Write IN ('a', 'b').")
        return tuple(texts)

    def _number(self) -> float:
        token = self._advance()
        if token.kind != "number":
            hint = "Leave the quotation marks out." if token.kind == "text" else "Write one."
            raise self._fault(token, "A number has to stand here.", hint)
        return float(token.text)

    def _quoted(self) -> str:
        token = self._advance()
        if token.kind != "text":
            known = token.kind in ("word", "name", "number", "field")
            shown = brief(unquoted(token.text)) if known else "text"
            raise self._fault(
                token,
                "Text in quotation marks has to stand here.",
                f"Write '{shown}' in single or double quotation marks.",
            )
        return unquoted(token.text)

    def _no_attribute(self, name: str, place: int, *, is_bare: bool) -> InputError:
        hint = _suggest(name, _ATTRIBUTE_NAMES, _ATTRIBUTE_NAMES)
        if name in KINDS:
            hint = f"Name a key after it, such as {name}.key."
        elif is_bare and name.isidentifier() and len(name) <= 40:
            keys = f"metrics.{name}, params.{name} or tags.{name}"
            hint = f"{nearest(name[:60], _ATTRIBUTE_NAMES)} For a key of the run write {keys}."
        message = f"'{brief(name)}' is not an attribute of a run."
        return fault(self._text, place, message, hint.strip())

    def _no_operator(self, token: Token, field: Field) -> InputError:
        if token.kind != "end" and not self._text[token.start - 1].isspace():
            return self._fault(token, "This cannot follow a bare word.", QUOTE_KEY)
        hint = _suggest(token.text.upper(), field.operators, field.operators)
        return self._fault(token, "A comparator has to stand here.", hint)

    def _no_connector(self) -> InputError:
        if self._token.says(")"):
            return self._fault(self._token, "This parenthesis was never opened.", "Remove it.")
        word = self._token.text.upper() if self._token.kind == "word" else ""
        hint = nearest(word, ("AND", "OR")) or "Write AND or OR before it."
        return self._fault(self._token, "Between two comparisons stands AND or OR.", hint)


def _described(field: Field) -> str:
    if field.kind is Kind.ATTRIBUTE:
        return f"run's {field.key}"
    return {Kind.DATASET: f"dataset's {field.key}", Kind.PARAM: "param"}.get(field.kind, field.kind)


def _suggest(word: str, choices: Iterable[str], fallback: Iterable[str]) -> str:
    return nearest(word[:60], choices) or f"Use one of {', '.join(fallback)}."
