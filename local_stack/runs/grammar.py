"""The grammar of run searches: text in, a typed tree or one clear :class:`InputError` out.

Everything MLflow 3 documents for ``search_runs`` means here what it means there: entity types and
their aliases, quoted keys, comparators per type, text taken raw between its quotation marks.
Added are ``OR``, ``NOT``, parentheses, ``BETWEEN``, ``NOT LIKE``, lists for every text field,
numeric comparison of params, numbers of a run against each other and added up
(``metrics.a - metrics.b < 0.1``), ``attributes.duration``, and what was logged of a metric over
time (``min(metrics.loss)``, ``step(min(metrics.loss))``).
Words that the parser of MLflow lets pass by accident (a missing, doubled or dangling ``AND``,
comments) are refused, because beside ``OR`` their meaning could not be guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from local_stack.errors import InputError, nearest
from local_stack.runs.tokens import QUOTE_KEY, Token, brief, fault, tokens, unquoted
from local_stack.runs.tree import (
    ATTRIBUTES,
    DATASET_KEYS,
    EQUALITY,
    KINDS,
    NULL,
    NUMERIC_ATTRIBUTES,
    STEPPED,
    Aggregate,
    And,
    Field,
    Function,
    Kind,
    ListTest,
    Node,
    Not,
    NullTest,
    NumberTest,
    Operand,
    Or,
    Ordering,
    PairTest,
    RangeTest,
    Sum,
    Test,
    TextTest,
)
from local_stack.runs.tree import NUMERIC as _NUMERIC

__all__ = [
    "ATTRIBUTES",
    "DATASET_KEYS",
    "KINDS",
    "Function",
    "parse_filter",
    "parse_number",
    "parse_order",
]

MAX_DEPTH: Final = 50
"""Parentheses and NOTs inside each other."""

MAX_TERMS: Final = 200
"""Comparisons in one filter, and further numbers added up in them."""

_ATTRIBUTE_NAMES = tuple(sorted(set(ATTRIBUTES.values())))
_PHRASES = ("LIKE", "ILIKE", "IN", "BETWEEN")
_KEYWORDS = (*_PHRASES, "AND", "OR", "NOT", "IS", "NULL")
_LIKELY_MEANT = {"==": "=", "<>": "!=", "=>": ">=", "=<": "<=", "~": "LIKE", "!": "!="}
_CALLS = (*Function, "step")
_OTHER_CALLS = {"avg": "mean", "average": "mean", "latest": "last", "len": "count", "n": "count"}


def parse_filter(text: str) -> Node | None:
    """Return the tree of a filter, or ``None`` for one that holds nothing.

    Raises
    ------
    InputError
        The text is no filter; ``details["position"]`` is the index of the character at fault.
    """
    parser = _Parser(text)
    return None if parser.at_end else parser.whole_filter()


def parse_order(text: str) -> tuple[Ordering, ...]:
    """Return the sort keys of ``field [ASC|DESC], ...``; a field may be any number of the run.

    Raises
    ------
    InputError
        The text is no order clause; MLflow refuses blanks around one, and so does this.
    """
    if text != text.strip():
        place = len(text.rstrip()) if text == text.lstrip() else 0
        raise fault(text, place, "An order clause has blanks around it.", "Remove them.")
    return _Parser(text).whole_order()


def parse_number(text: str) -> Operand:
    """Return a number of a run, such as ``min(metrics.loss)`` or ``metrics.a - metrics.b``.

    Raises
    ------
    InputError
        The text is none, with the place of the mistake.
    """
    return _Parser(text).whole_number()


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

    def whole_number(self) -> Operand:
        place = self._token
        found = self._operand()
        if not self.at_end:
            raise self._fault(self._token, "Here a number of a run ends.", "Remove what follows.")
        return found if isinstance(found, Sum) else self._summand(found, place)

    def whole_order(self) -> tuple[Ordering, ...]:
        keys = [self._sort_key()]
        while self._take(","):
            keys.append(self._sort_key())
        if not self.at_end:
            message = "After ASC or DESC an order clause ends, or ',' and a further one follow."
            raise self._fault(self._token, message, "Remove what follows, or write ',' before it.")
        return tuple(keys)

    def _sort_key(self) -> Ordering:
        field = self._operand()
        direction = self._token
        if direction.kind == "end" or direction.says(","):
            return Ordering(field, descending=False)
        if not (self._take("ASC") or self._take("DESC")):
            hint = nearest(direction.text.upper(), ("ASC", "DESC")) or "Use ASC or DESC."
            raise self._fault(direction, "After the field stands ASC or DESC.", hint)
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
        self._count()
        subject = self._operand()
        first = self._token
        operator = self._operator(subject)
        negated = operator.startswith("NOT ")
        if operator.endswith("BETWEEN"):
            return self._range(subject, negated)
        if not isinstance(subject, Field):
            return self._numbers(subject, operator)
        if operator in NULL:
            return NullTest(subject, operator == "IS NOT NULL")
        if operator in ("IN", "NOT IN"):
            return ListTest(subject, self._list(), negated)
        if operator.endswith("LIKE"):
            return TextTest(subject, operator, self._quoted())
        return self._comparison(subject, operator, first)

    def _count(self) -> None:
        self._terms += 1
        if self._terms > MAX_TERMS:
            message = f"A filter has at most {MAX_TERMS} comparisons."
            raise self._fault(self._token, message, "Use IN for many values of one field.")

    def _operand(self, *, is_right: bool = False) -> Operand:
        """Return a field, or a number of the run: an aggregate, or several added up."""
        place = self._token
        first = self._number() if is_right and place.kind == "number" else self._single()
        if self._token.kind != "sign":
            return first
        terms = [(1, self._summand(first, place))]
        while self._token.kind == "sign":
            self._count()
            sign, place = -1 if self._advance().text == "-" else 1, self._token
            found = self._number() if place.kind == "number" else self._single()
            terms.append((sign, self._summand(found, place)))
        return Sum(tuple(terms))

    def _is_call(self) -> bool:
        token, after = self._token, self._tokens[min(self._index + 1, len(self._tokens) - 1)]
        is_word = token.kind == "word" and token.text.upper() not in _KEYWORDS
        return is_word and after.says("(")

    def _single(self) -> Field | Aggregate:
        return self._aggregate() if self._is_call() else self._field()

    def _summand(self, found: Operand, place: Token) -> Field | Aggregate | float:
        if isinstance(found, Field) and not found.holds_numbers:
            hint = "Compare and add up metrics, params, times and numbers."
            raise self._fault(place, f"{_described(found)} is not a number.", hint)
        assert not isinstance(found, Sum)
        return found

    def _aggregate(self) -> Aggregate:
        word = self._advance()
        name = word.text.lower()
        if name not in _CALLS:
            meant = _OTHER_CALLS.get(name)
            hint = f"Did you mean '{meant}'?" if meant else _suggest(name, _CALLS, _CALLS)
            raise self._fault(word, f"'{brief(word.text)}' is nothing to ask of a metric.", hint)
        self._take("(")
        inner = self._token
        if name == "step" and self._is_call():
            if inner.text.lower() not in STEPPED:
                message = "Only one of the logged values has a step."
                raise self._fault(inner, message, f"Write one of {', '.join(STEPPED)} here.")
            picked = self._aggregate()
            made = Aggregate(picked.function, picked.key, is_step=True)
        else:
            found = self._field() if inner.kind == "field" else None
            if found is None or found.kind is not Kind.METRIC:
                message = f"In the parentheses of {name} stands a metric."
                raise self._fault(inner, message, f"Write {name}(metrics.loss).")
            is_step = name == "step"
            made = Aggregate(Function.LAST if is_step else Function(name), found.key, is_step)
        if not self._take(")"):
            raise self._fault(self._token, f"{name} takes one metric and then ')'.", "Add ')'.")
        return made

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

    def _operator(self, field: Operand) -> str:
        first = self._advance()
        fitting = field.operators if isinstance(field, Field) else _NUMERIC
        word = first.text.upper()
        negation = ""
        if first.says("IS"):
            word = "IS NOT NULL" if self._take("NOT") else "IS NULL"
            if not self._take("NULL"):
                raise self._fault(self._token, "After IS stands NULL or NOT NULL.", "Write NULL.")
        elif first.says("NOT") and self._token.text.upper() in _PHRASES:
            negation, word = "NOT ", self._advance().text.upper()
        if word in fitting:
            return negation + word
        if first.kind != "operator" and word not in (*_PHRASES, *NULL):
            raise self._no_operator(first, fitting)
        meant = _LIKELY_MEANT.get(word, "")
        raise self._fault(
            first,
            f"{_described(field)} cannot be compared with '{negation}{brief(word)}'.",
            f"Did you mean '{meant}'?" if meant in fitting else f"Use one of {', '.join(fitting)}.",
        )

    def _comparison(self, field: Field, operator: str, first: Token) -> Test:
        token = self._token
        if token.kind == "text" and field.holds_text and operator not in EQUALITY:
            message = f"Text in quotation marks cannot be compared with '{operator}'."
            raise self._fault(first, message, "Leave them out to compare as a number.")
        may_be_text = field.holds_text and operator in EQUALITY
        is_time = token.kind == "word" and ATTRIBUTES.get(token.text) in NUMERIC_ATTRIBUTES
        is_number = is_time or token.kind in ("number", "field") or self._is_call()
        if field.holds_numbers and (is_number or not may_be_text):
            return self._numbers(field, operator)
        return TextTest(field, operator, self._quoted())

    def _numbers(self, left: Operand, operator: str) -> Test:
        token = self._token
        if token.kind not in ("number", "field", "word"):
            return NumberTest(left, operator, self._number())
        right = self._operand(is_right=True)
        if isinstance(right, float):
            return NumberTest(left, operator, right)
        if not isinstance(right, Sum):
            self._summand(right, token)
        is_unclear = operator in EQUALITY and all(
            isinstance(side, Field) and side.holds_text for side in (left, right)
        )
        if is_unclear:
            message = "Two params may be equal as text or as numbers, so this is not clear."
            raise self._fault(token, message, "Compare numbers so: params.a - params.b = 0.")
        return PairTest(left, operator, right)

    def _range(self, field: Operand, negated: bool) -> RangeTest:
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
        elif is_bare and name.lower() in _CALLS:
            hint = f"Write {name}(metrics.loss)."
        elif is_bare and name.isidentifier() and len(name) <= 40:
            keys = f"metrics.{name}, params.{name} or tags.{name}"
            hint = f"{nearest(name[:60], _ATTRIBUTE_NAMES)} For a key of the run write {keys}."
        message = f"'{brief(name)}' is not an attribute of a run."
        return fault(self._text, place, message, hint.strip())

    def _no_operator(self, token: Token, fitting: Iterable[str]) -> InputError:
        if token.kind != "end" and not self._text[token.start - 1].isspace():
            return self._fault(token, "This cannot follow a bare word.", QUOTE_KEY)
        hint = _suggest(token.text.upper(), fitting, fitting)
        if token.kind == "number" and token.text[0] in "+-":
            hint = f"Leave a blank behind the sign: {token.text[0]} {brief(token.text[1:])}."
        return self._fault(token, "A comparator has to stand here.", hint)

    def _no_connector(self) -> InputError:
        if self._token.says(")"):
            return self._fault(self._token, "This parenthesis was never opened.", "Remove it.")
        word = self._token.text.upper() if self._token.kind == "word" else ""
        hint = nearest(word, ("AND", "OR")) or "Write AND or OR before it."
        return self._fault(self._token, "Between two comparisons stands AND or OR.", hint)


def _described(operand: Operand) -> str:
    if not isinstance(operand, Field):
        return "A number"
    if operand.kind is Kind.ATTRIBUTE:
        return f"A run's {operand.key}"
    whole = {Kind.DATASET: f"dataset's {operand.key}", Kind.PARAM: "param"}
    return f"A {whole.get(operand.kind, operand.kind)}"


def _suggest(word: str, choices: Iterable[str], fallback: Iterable[str]) -> str:
    return nearest(word[:60], choices) or f"Use one of {', '.join(fallback)}."
