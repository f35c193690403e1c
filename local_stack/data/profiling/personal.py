"""Personal data: what the values are, proved by check digits where there are any.

Values are never shown: a finding gives their shape, ``AA99 9999`` for ``DE12 3456``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.data.profiling import checksums
from local_stack.data.profiling.coding import percent
from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.shape import Alert, Thresholds
from local_stack.data.profiling.wordings import Wordings, masked

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

    Check = Callable[["polars.Series"], NDArray[np.bool_]]

MAX_JUDGED = 2_000
"""Distinct values that are judged; of more, this many evenly spaced ones."""

MAX_CHANCE = 1e-6
"""How likely it may be that so many of a column's values pass by chance."""

_MAX_LENGTH = 300  # nothing that is one datum is longer

_ADVICE = "personal data, which a model and its readers seldom need"

_CARD = (
    r"^(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}"
    r"|3(?:0[0-5]|[68]\d)\d{11})$"
)
_DAY, _MONTH = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of personal data.

    ``pattern`` is of the text without separators and in upper case (``is_raw``: of the text as
    it is); ``check`` returns which of those matches (n,) pass. ``chance`` is how likely a random
    text of the pattern passes. ``n_digits`` is set where whole numbers are of this kind too.
    """

    name: str
    pattern: str
    check: Check | None = None
    chance: float = 0.0
    n_digits: tuple[int, ...] = ()
    is_raw: bool = False

    @property
    def expression(self) -> str:
        """Return the pattern, of ASCII digits and letters alone where they are to be added up."""
        return self.pattern if self.check is None else f"(?-u){self.pattern}"


def digits_of(values: polars.Series) -> NDArray[np.int64]:
    """Return the characters of texts of one length as codes 0 to 35 (n, length), A being 10."""
    import numpy as np

    if not values.len():
        return np.zeros((0, 20), dtype=np.int64)
    width = int(values.str.len_bytes().max())  # type: ignore[arg-type]
    padded = "".join(value.ljust(width) for value in values.to_list()).encode("ascii", "replace")
    codes = np.frombuffer(padded, dtype=np.uint8).reshape(values.len(), width).astype(np.int64)
    codes = np.where(codes >= ord("A"), codes - ord("A") + 10, codes - ord("0"))
    return np.where(codes >= 0, codes, -1)


def _by_length(check: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> Check:
    """Return a check of texts from one of digits of one length."""

    def checked(values: polars.Series) -> NDArray[np.bool_]:
        import numpy as np

        lengths = values.str.len_bytes()
        passes = np.zeros(values.len(), dtype=bool)
        for length in lengths.unique().to_list():
            holds = (lengths == length).to_numpy()
            passes[holds] = check(digits_of(values.filter(lengths == length)))
        return passes

    return checked


def _spanish(values: polars.Series) -> NDArray[np.bool_]:
    plain = values.str.replace("^X", "0").str.replace("^Y", "1").str.replace("^Z", "2")
    codes = digits_of(plain)
    return checksums.spanish_letters(checksums.number(codes[:, :8]), codes[:, 8])


def _finnish(values: polars.Series) -> NDArray[np.bool_]:
    codes = digits_of(values.str.replace(r"^(\d{6}).", "$1"))
    days, months, years = (checksums.number(codes[:, i : i + 2]) for i in (0, 2, 4))
    is_day = checksums.is_day(years, months, days)
    return is_day & checksums.finnish_letters(checksums.number(codes[:, :9]), codes[:, 9])


def _french(values: polars.Series) -> NDArray[np.bool_]:
    plain = values.str.replace("2A", "19", literal=True).str.replace("2B", "18", literal=True)
    return checksums.french_person(digits_of(plain))


KINDS = (
    Kind(
        "e-mail addresses",
        r"^[^@\s,;<>]{1,64}@(?:[\p{L}\d](?:[\p{L}\d-]*[\p{L}\d])?\.)+\p{L}{2,}$",
        is_raw=True,
    ),
    Kind("IBANs", r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$", _by_length(checksums.mod_97), 1 / 97),
    Kind("payment card numbers", _CARD, _by_length(checksums.luhn), 0.1, (16, 15, 14, 13, 19)),
    Kind(
        "Spanish DNI or NIE numbers", r"^[\dXYZ]\d{7}[TRWAGMYFPDXBNJZSQVHLCKE]$", _spanish, 1 / 23
    ),
    Kind(
        "French NIR numbers",
        rf"^[1-478]\d\d(?:{_MONTH}|[2-9]\d)(?:\d\d|2A|2B)\d{{8}}$",
        _french,
        1 / 97,
        (15,),
    ),
    Kind(
        "Italian codici fiscali",
        r"^[A-Z]{6}[\dLMNPQRSTUV]{2}[ABCDEHLMPRST][\dLMNPQRSTUV]{2}[A-Z][\dLMNPQRSTUV]{3}[A-Z]$",
        _by_length(checksums.italian_person),
        1 / 26,
    ),
    Kind(
        "Finnish personal codes",
        rf"^{_DAY}{_MONTH}\d\d[-+A-FU-Y]\d{{3}}[\dA-FHJ-NPR-Y]$",
        _finnish,
        1 / 31,
        is_raw=True,
    ),
    Kind(
        "Indian Aadhaar numbers",
        r"^[2-9]\d{11}$",
        _by_length(checksums.indian_resident),
        0.1,
        (12,),
    ),
    Kind("German tax numbers", r"^[1-9]\d{10}$", _by_length(checksums.german_tax), 0.1, (11,)),
    Kind("Brazilian CPF numbers", r"^\d{11}$", _by_length(checksums.brazilian_person), 0.01, (11,)),
    Kind(
        "Belgian national numbers", r"^\d{11}$", _by_length(checksums.belgian_citizen), 0.02, (11,)
    ),
    Kind("Polish PESEL numbers", r"^\d{11}$", _by_length(checksums.polish_citizen), 0.1, (11,)),
    Kind(
        "Swedish personal numbers",
        rf"^(?:\d\d)?\d\d{_MONTH}{_DAY}\d{{4}}$",
        _by_length(checksums.swedish_person),
        0.1,
        (10, 12),
    ),
    Kind("British NHS numbers", r"^\d{10}$", _by_length(checksums.british_health), 1 / 11, (10,)),
    Kind("Dutch BSN numbers", r"^\d{9}$", _by_length(checksums.dutch_citizen), 1 / 11, (9,)),
    Kind(
        "US social security numbers",
        r"^(?:00[1-9]|0[1-9]\d|[1-578]\d\d|6[0-57-9]\d|66[0-57-9])-"
        r"(?:0[1-9]|[1-9]\d)-(?:000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})$",
        is_raw=True,
    ),
    Kind(
        "IP addresses",
        r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?::\d{1,5})?$"
        r"|^(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}$|^[0-9A-Fa-f:]*::[0-9A-Fa-f:]*[0-9A-Fa-f]$",
        is_raw=True,
    ),
    Kind("MAC addresses", r"^(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$", is_raw=True),
    Kind("addresses of web pages with a user", r"^[a-z][a-z0-9+.-]*://[^/\s@]+@\S+$", is_raw=True),
    Kind(
        "phone numbers",
        r"^(?:\+|00)\d{1,3}[\s().\-/\d]{6,17}$|^\(?[2-9]\d{2}\)?[\s.\-/]\s?\d{3}[\s.-]\d{4}$"
        r"|^\(?0\d{1,4}\)?[\s\-/]\s?\d[\d\s\-]{4,10}$",
        is_raw=True,
    ),
)
"""Kinds by what their values look like; the first of equals counts."""

_WITHIN = {
    "e-mail addresses": (
        r"[\w.+-]{1,64}@(?:[\p{L}\d](?:[\p{L}\d-]*[\p{L}\d])?\.)+\p{L}{2,}",
        "@",
    ),
}

NAMED = (
    (
        "names of persons",
        r"(first|last|middle|given|family|full|sur|fore|maiden|customer|client|patient|person"
        r"|employee|member|passenger|contact|holder|applicant|user)_?names?"
        r"|surname|vorname|nachname|familienname|prenom|apellidos?|cognome",
        r"^[^\d]*\p{L}[^\d]*$",
    ),
    (
        "names of persons",
        r"names?",
        r"^\p{Lu}[\p{L}'\x{2019} -]+, \p{Lu}|^(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Mme|Sra?)\b",
    ),
    (
        "dates of birth",
        r"dob|date_of_birth|birth_?da(te|y)|geburtsdatum|date_(de_)?naissance|fecha_(de_)?nacimiento",
        r"\d",
    ),
    (
        "postal addresses",
        r"street(_address)?|(home|postal|mailing|billing|shipping)_address|address(_line)?(_?\d)?"
        r"|stra(ss|ß)e|adresse|direccion|indirizzo",
        r"\p{L}.*\d|\d.*\p{L}",
    ),
    (
        "phone numbers",
        r"(tele)?phone(_?(number|no))?|(mobile|cell)(_?(phone|number|no))?|tel|handy(nummer)?",
        r"^\D*(?:\d\D*){7,15}$",
    ),
    (
        "numbers of persons",
        r"ssn|social_security(_?(number|no))?|passport(_?(number|no))?|national_(id|number)"
        r"|tax_id|steuer_?id(nr)?|driver_?s?_licen[cs]e(_?(number|no))?|(credit_)?card_?number|iban",
        r"\d{5}",
    ),
)
"""What the name of a column hints at: kind, name (without case, words joined by ``_``), values."""


def personal_findings(texts: Wordings, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield at most one alert: of the kind that most texts are, or hold, or by the name."""
    column = texts.column
    values, counts = _judged(texts.values, texts.counts)
    values = values.str.head(_MAX_LENGTH)
    found = best_kind(values, counts, thresholds.p_personal)
    if found is not None:
        yield _alert(column, found, values, counts, thresholds.p_personal)
        return
    yield from _within(texts, thresholds) or _hinted(column, values, counts, thresholds)


def personal_numbers(column: Column, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield at most one alert of a column of whole numbers or dates."""
    import polars as pl

    counted = column.tally
    if counted is None or not counted.values.size:
        return
    kept = _evenly(counted.values.size)
    numbers, counts = counted.values[kept], counted.counts[kept]
    if column.profile.type == "long" and 10**8 <= counted.values[-1] < 10**19:
        values = pl.Series(numbers.astype(str))
        found = best_kind(values, counts, thresholds.p_personal, is_number=True)
        if found is not None:
            yield _alert(column, found, values, counts, thresholds.p_personal)
            return
    if _hints(column.profile.name):
        yield from _hinted(column, pl.Series(numbers.astype(str)), counts, thresholds)


@dataclass(frozen=True, slots=True)
class Found:
    """A kind, which values (n,) are of it, and the share of rows of those judged."""

    kind: Kind
    holds: NDArray[np.bool_]
    share: float
    n_judged: int


def best_kind(
    values: polars.Series, counts: NDArray[np.int64], least: float, *, is_number: bool = False
) -> Found | None:
    """Return the kind that the largest share of rows is of, if it is at least ``least``.

    A kind with check digits counts only if random texts of its pattern would pass as often with
    a probability below ``MAX_CHANCE``.
    """
    import polars as pl

    kinds = [kind for kind in KINDS if kind.n_digits or not is_number]
    if is_number:
        frame = pl.DataFrame([_widened(values, kind).alias(kind.name) for kind in kinds])
    else:
        compact = values.str.replace_all(r"[\s.\-/]", "").str.to_uppercase()
        frame = pl.DataFrame(
            [(values if kind.is_raw else compact).alias(kind.name) for kind in kinds]
        )
    matching = frame.select(pl.col(kind.name).str.contains(kind.expression) for kind in kinds)
    best: Found | None = None
    n = int(counts.sum())
    for kind in kinds:
        shown, matches = frame[kind.name], matching[kind.name].to_numpy()
        if float(counts[matches].sum()) < least * n or not matches.any():
            continue
        holds = matches.copy()
        if kind.check is not None:
            holds[matches] = kind.check(shown.filter(matches))
            if _chance(int(matches.sum()), int(holds.sum()), kind.chance) > MAX_CHANCE:
                continue
        share = float(counts[holds].sum()) / n
        if share >= least and (best is None or share > best.share):
            best = Found(kind, holds, share, values.len())
    return best


def _widened(values: polars.Series, kind: Kind) -> polars.Series:
    """Return numbers with the leading zeros that a whole number loses (at most two)."""
    width = int(values.str.len_bytes().max())  # type: ignore[arg-type]
    if len(kind.n_digits) == 1 and width == kind.n_digits[0]:
        import polars as pl

        enough = values.str.len_bytes() >= width - 2
        return pl.select(
            pl.when(enough).then(values.str.zfill(width)).otherwise(values)
        ).to_series()
    return values


def _chance(n: int, k: int, p: float) -> float:
    """Return a bound of the probability that k or more of n pass by chance (Chernoff)."""
    share = k / n
    if share <= p:
        return 1.0
    rest = (1 - share) * math.log((1 - share) / (1 - p)) if share < 1 else 0.0
    return math.exp(-n * (share * math.log(share / p) + rest))


def _evenly(n: int) -> NDArray[np.int64]:
    import numpy as np

    if n <= MAX_JUDGED:
        return np.arange(n)
    return np.linspace(0, n - 1, MAX_JUDGED).astype(np.int64)


def _judged(
    values: polars.Series, counts: NDArray[np.int64]
) -> tuple[polars.Series, NDArray[np.int64]]:
    kept = _evenly(values.len())
    return (values, counts) if kept.size == values.len() else (values[kept], counts[kept])


def _alert(
    column: Column,
    found: Found,
    values: polars.Series,
    counts: NDArray[np.int64],
    threshold: float,
) -> Alert:
    proof = " and pass their check digits" if found.kind.check is not None else ""
    judged = ""
    if found.n_judged < column.profile.n_distinct:
        judged = f", judged by {found.n_judged:,} different ones"
    message = (
        f"{percent(found.share)} of the values look like {found.kind.name}{proof}{judged} "
        f"(threshold {percent(threshold)}): {_ADVICE}."
    )
    return Alert(
        "personal_data",
        column.profile.name,
        found.share,
        threshold,
        message,
        method=found.kind.name,
        values=masked(values.filter(found.holds), counts[found.holds]),
    )


def _within(texts: Wordings, thresholds: Thresholds) -> list[Alert]:
    """Return an alert of longer texts some of which hold personal data."""
    for name, (pattern, sign) in _WITHIN.items():
        if not texts.values.str.contains(sign, literal=True).any():
            continue
        holds = texts.matches(pattern)
        share = texts.share_of(holds)
        if share >= thresholds.p_personal_within and holds.sum() > 1:
            limit = thresholds.p_personal_within
            message = (
                f"{texts.amount(holds)} ({percent(share)}) with {name}{texts.note} "
                f"(threshold {percent(limit)}): {_ADVICE}."
            )
            column = texts.column.profile.name
            rows = texts.rows(holds)
            return [Alert("personal_data", column, share, limit, message, method=name, rows=rows)]
    return []


def _words(name: str) -> str:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^\w]+", "_", parted).strip("_").lower()


def _hints(name: str) -> list[tuple[str, str]]:
    """Return the kinds that a column's name hints at, each with the pattern of its values."""
    words = _words(name)
    return [(kind, shape) for kind, pattern, shape in NAMED if re.fullmatch(pattern, words)]


def _hinted(
    column: Column, values: polars.Series, counts: NDArray[np.int64], thresholds: Thresholds
) -> Iterator[Alert]:
    for kind, shape in _hints(column.profile.name):
        holds = values.str.contains(shape).to_numpy()
        share = float(counts[holds].sum()) / int(counts.sum())
        if share >= thresholds.p_personal and values.len() > 1:
            message = (
                f"By the column's name these may be {kind}; {percent(share)} of the values fit "
                f"(threshold {percent(thresholds.p_personal)}): {_ADVICE}."
            )
            yield Alert(
                "personal_data",
                column.profile.name,
                share,
                thresholds.p_personal,
                message,
                method=f"{kind}, by the column's name",
            )
            return
