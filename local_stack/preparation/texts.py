"""Operations on texts, and changes from one kind of value to another."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from local_stack.preparation.categories import number_text
from local_stack.preparation.operations import (
    Bound,
    Operation,
    bounded,
    declared,
    finite,
    of_numbers,
    texts,
    whole,
    widths,
)
from local_stack.preparation.values import (
    NAN,
    NUMBERS,
    Values,
    as_moment,
    datetimes_of,
    each,
    plain_of,
)

KINDS = ("number", "integer", "text", "boolean", "date")
"""What a column can be cast to."""
MEASURES = ("characters", "words")
MAX_TERMS = 2_000
"""Most terms of one column."""
MAX_NGRAM = 5
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"(?P<sign>[+-]?)0*(?P<digits>[0-9]{1,19})")
_TRUTHS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), 1.0),
    **dict.fromkeys(("false", "f", "no", "n", "0"), 0.0),
}
_TOKEN = re.compile(r"(?u)\b\w\w+\b")
"""scikit-learn's words: two or more letters, digits or underscores."""


@declared
@dataclass(frozen=True, slots=True)
class Cast(Operation):
    """Return a value as one of another kind; what cannot be becomes missing.

    ``form`` is how dates are written in texts (``strptime``'s letters); ISO 8601 when None.
    """

    word: ClassVar[str] = "cast"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    to: str
    form: str | None

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        if self.to not in KINDS:
            raise ValueError("to")
        if self.form is not None:
            check_date_form(texts((self.form,))[0])

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        (kind,) = kinds
        row = self._row(kind)
        written = {"integer": "number", "date": "moment"}.get(self.to, self.to)

        def many(x: Values) -> tuple[Values]:
            import numpy as np

            plain = datetimes_of(x) if kind == "moment" else plain_of(x)  # type: ignore[arg-type]
            if written in NUMBERS:
                return (each(row, plain),)
            found = [row(value) for value in plain]
            return (np.array(found, dtype="datetime64[us]") if written == "moment" else found,)

        return Bound((written,), row, many)

    def _row(self, kind: str) -> Callable[[Any], Any]:
        if (kind, self.to) == ("text", "date"):
            form = self.form
            return lambda x: _moment_of_text(x, form)
        if kind == "boolean" and self.to == "text":
            return lambda x: None if x != x else number_text(x, is_truth=True)
        found = _CASTS.get((kind, self.to))
        if found is None:
            raise ValueError("no such cast")
        return found


def check_date_form(form: str) -> None:
    """Raise ``ValueError`` unless ``form`` says how a date is written, with each letter once."""
    directives = re.findall(r"%(.)", form.replace("%%", ""))
    if not 0 < len(form) <= 100 or len(set(directives)) != len(directives):
        raise ValueError("a form that is too long, or names a part twice")
    try:
        datetime.strptime(datetime(2024, 2, 29, 13, 45).strftime(form), form)
    except (ValueError, re.error) as error:
        raise ValueError(str(error)) from None


def number_of_text(text: str | None) -> float:
    """Return a text such as ``-1.5e3`` as a number, NaN when it is none."""
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return NAN
    number = float(text)
    return number if math.isfinite(number) else NAN


def double_of_text(text: str | None) -> float:
    """Return a text as a number, as Polars casts it: one with spaces around is none."""
    return NAN if text is None or text != text.strip() else number_of_text(text)


def int64_of_text(text: str | None) -> float:
    """Return a text of digits as a whole number of 64 bits, as Polars casts it, else NaN."""
    found = None if text is None else _WHOLE.fullmatch(text)
    if found is None:
        return NAN
    number = int(found["sign"] + found["digits"])
    return float(number) if -(2**63) <= number < 2**63 else NAN


def int64_of_number(x: float) -> float:
    """Return a number without its fraction, NaN when 64 bits cannot hold it."""
    return float(math.trunc(x)) if -(2.0**63) <= x < 2.0**63 else NAN


def truncated(x: float) -> float:
    """Return a number without its fraction."""
    return math.copysign(float(math.trunc(x)), x) if math.isfinite(x) else NAN


def truth_of_number(x: float) -> float:
    """Return 0 for zero, 1 for any other number."""
    return x if x != x else float(x != 0)


def _moment_of_text(text: str | None, form: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
        return as_moment(parsed)
    except (ValueError, OverflowError):
        return None


def _text_of_moment(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    is_day = (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
    return moment.date().isoformat() if is_day else moment.isoformat()


_CASTS: dict[tuple[str, str], Callable[[Any], Any]] = {
    **{(kind, "number"): lambda x: x for kind in NUMBERS},
    **{(kind, "integer"): truncated for kind in NUMBERS},
    **{(kind, "boolean"): truth_of_number for kind in NUMBERS},
    ("number", "text"): lambda x: None if x != x else number_text(x),
    ("text", "number"): number_of_text,
    ("text", "integer"): lambda x: truncated(number_of_text(x)),
    ("text", "boolean"): lambda x: NAN if x is None else _TRUTHS.get(x.strip().lower(), NAN),
    ("text", "text"): lambda x: x,
    ("moment", "text"): _text_of_moment,
    ("moment", "date"): lambda x: x,
}


@declared
@dataclass(frozen=True, slots=True)
class TextLength(Operation):
    """Return the number of characters, or of words between spaces."""

    word: ClassVar[str] = "text_length"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    measure: str

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        if self.measure not in MEASURES:
            raise ValueError("measure")

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        _texts_only(kinds)
        row = _n_characters if self.measure == "characters" else _n_words
        return of_numbers(row, lambda x: (each(row, x),))


def _texts_only(kinds: tuple[str, ...]) -> None:
    if kinds != ("text",):
        raise ValueError("not a text")


def _n_characters(text: str | None) -> float:
    return NAN if text is None else float(len(text))


def _n_words(text: str | None) -> float:
    return NAN if text is None else float(len(text.split()))


@declared
@dataclass(frozen=True, slots=True)
class TfIdf(Operation):
    """Write the TF-IDF weight of each of ``terms``, the weights of a text having length 1.

    As scikit-learn's ``TfidfVectorizer`` with its default words. A missing text is empty.
    """

    word: ClassVar[str] = "tf_idf"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    terms: tuple[str, ...]
    idf: tuple[float, ...]
    ngrams: tuple[int, int]

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, len(texts(bounded(self.terms, MAX_TERMS))))
        if len(set(self.terms)) != len(self.terms):
            raise ValueError("a term stands twice")
        if len(bounded(self.idf, MAX_TERMS)) != len(self.terms):
            raise ValueError("not a weight for every term")
        finite(*self.idf)
        low, high = bounded(self.ngrams, 2)
        whole(low, 1, MAX_NGRAM)
        whole(high, low, MAX_NGRAM)

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        _texts_only(kinds)
        width = len(self.terms)
        places = {term: place for place, term in enumerate(self.terms)}
        idf = [float(weight) for weight in self.idf]
        ngrams = self.ngrams
        zeros = (0.0,) * width

        def row(text: str | None) -> tuple[float, ...]:
            if not text:
                return zeros
            weights = [0.0] * width
            found = weighted(terms_of(text, ngrams), places, idf)
            for place, weight in found:
                weights[place] = weight
            return tuple(weights)

        def many(x: Values) -> list[Values]:
            import numpy as np

            matrix = np.zeros((width, len(x)))
            for number, text in enumerate(x):
                for place, weight in weighted(terms_of(text or "", ngrams), places, idf):
                    matrix[place, number] = weight
            return list(matrix)

        if width == 1:
            return of_numbers(lambda text: row(text)[0], many)
        return of_numbers(row, many, width)


def terms_of(text: str, ngrams: tuple[int, int]) -> list[str]:
    """Return the words and runs of words of a text, in lower case."""
    words = _TOKEN.findall(text.lower())
    low, high = ngrams
    if (low, high) == (1, 1):
        return words
    return [
        " ".join(words[start : start + size])
        for size in range(low, high + 1)
        for start in range(len(words) - size + 1)
    ]


def weighted(
    terms: Iterable[str], places: dict[str, int], idf: list[float]
) -> list[tuple[int, float]]:
    """Return place and weight of each known term, in the order of places."""
    counts = Counter(places[term] for term in terms if term in places)
    weights = [(place, counts[place] * idf[place]) for place in sorted(counts)]
    length = math.sqrt(math.fsum(weight * weight for _, weight in weights))
    return [(place, weight / length) for place, weight in weights] if length else []
