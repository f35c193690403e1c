"""Operations on categories: texts, truth values and numbers that are names of groups."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from local_stack.preparation.operations import (
    MAX_COLUMNS,
    MAX_KEYS,
    Bound,
    Operation,
    bounded,
    declared,
    finite,
    of_numbers,
    scalar,
    truth,
    whole,
    widths,
)
from local_stack.preparation.values import NAN, NUMBERS, Scalar, Values, keys_of

if TYPE_CHECKING:
    import numpy as np

MAX_BUCKETS = 4_096
"""Most columns that the hashes of one column fill."""
_MASK = 0xFFFFFFFF


def _named(kinds: tuple[str, ...]) -> None:
    if "moment" in kinds:
        raise ValueError("a date is no category")


def _key(raw: Any) -> Any:
    return None if raw != raw else raw


@declared
@dataclass(frozen=True, slots=True)
class Codes(Operation):
    """Return a category's place in ``categories``; NaN (native) or -1 for anything else."""

    word: ClassVar[str] = "codes"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    categories: tuple[Scalar, ...]
    is_native: bool

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        for category in bounded(self.categories, MAX_KEYS):
            scalar(category)
        truth(self.is_native)

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        _named(kinds)
        codes = {key: float(code) for code, key in enumerate(self.categories)}
        other = NAN if self.is_native else -1.0

        def many(x: Values) -> tuple[Values]:
            return (_numbers([codes.get(key, other) for key in keys_of(x)]),)

        return of_numbers(lambda x: codes.get(x, other), many)


def _numbers(values: list[float]) -> np.ndarray:
    import numpy as np

    return np.array(values, dtype=np.float64)


@declared
@dataclass(frozen=True, slots=True)
class OneHot(Operation):
    """Write 1 into the column of a category and 0 into the others.

    With ``has_rare`` one more column, the last, is for every category that is not listed. A
    missing value is all zeros.
    """

    word: ClassVar[str] = "one_hot"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    categories: tuple[Scalar, ...]
    has_rare: bool

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        truth(self.has_rare)
        for category in bounded(self.categories, MAX_COLUMNS):
            scalar(category)
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("a category stands twice")
        widths(self, 1, len(self.categories) + self.has_rare)

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        _named(kinds)
        width = len(self.writes)
        codes = {key: code for code, key in enumerate(self.categories)}
        other = width - 1 if self.has_rare else -1
        rows = {code: _unit(code, width) for code in range(-1, width)}
        known = {key: rows[code] for key, code in codes.items()}
        unknown, absent = rows[other], rows[-1]

        def row(raw: Any) -> Any:
            return absent if raw is None or raw != raw else known.get(raw, unknown)

        def many(x: Values) -> list[Values]:
            import numpy as np

            found = [-1 if key is None else codes.get(key, other) for key in keys_of(x)]
            places = np.array(found, dtype=np.int64)
            return [(places == code).astype(np.float64) for code in range(width)]

        if width == 1:
            return of_numbers(lambda raw: row(raw)[0], many)
        return of_numbers(row, many, width)


def _unit(place: int, width: int) -> tuple[float, ...]:
    return tuple(1.0 if code == place else 0.0 for code in range(width))


def _check_groups(groups: tuple[Any, ...], n_keys: int) -> None:
    for group in bounded(groups, MAX_KEYS):
        if len(bounded(group, n_keys)) != n_keys:
            raise ValueError("a group of another number of keys")
        for key in group:
            if key is not None:
                scalar(key)


def _check_column(values: tuple[Any, ...], n_groups: int) -> None:
    if len(bounded(values, MAX_KEYS)) != n_groups:
        raise ValueError("not a value for every group")
    finite(*(value for value in values if value is not None))


def _float(value: float | None) -> float:
    return NAN if value is None else float(value)


@declared
@dataclass(frozen=True, slots=True)
class Lookup(Operation):
    """Return what is known of a group: target statistics, frequencies, aggregates.

    Parameters
    ----------
    groups
        Keys of each group, one for every column read; None is a missing key.
    values
        For each column written, the value of every group; None is missing.
    other
        For each column written, the value of a group that is not there.
    """

    word: ClassVar[str] = "lookup"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    groups: tuple[tuple[Scalar | None, ...], ...]
    values: tuple[tuple[float | None, ...], ...]
    other: tuple[float | None, ...]

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        _check_groups(self.groups, len(self.reads))
        n_writes = len(self.writes)
        if len(bounded(self.values, n_writes)) != n_writes or len(self.other) != n_writes:
            raise ValueError("not a value for every column")
        for values in self.values:
            _check_column(values, len(self.groups))
        finite(*(value for value in bounded(self.other, n_writes) if value is not None))

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        _named(kinds)
        places = _places(self.groups)
        tables = [[*map(_float, values)] for values in self.values]
        other = [*map(_float, self.other)]
        for table, value in zip(tables, other, strict=True):
            table.append(value)  # at -1, where a group that is not there is looked up

        def many(*columns: Values) -> list[Values]:
            import numpy as np

            found = np.array(_found(places, columns), dtype=np.int64)
            return [np.array(table)[found] for table in tables]

        return of_numbers(_row_of_tables(places, tables, len(kinds)), many, len(tables))


def _places(groups: tuple[tuple[Scalar | None, ...], ...]) -> dict[Any, int]:
    is_single = not groups or len(groups[0]) == 1
    return {group[0] if is_single else group: place for place, group in enumerate(groups)}


def _found(places: Mapping[Any, int], columns: tuple[Values, ...]) -> list[int]:
    keys = [keys_of(column) for column in columns]
    if len(keys) == 1:
        return [places.get(key, -1) for key in keys[0]]
    return [places.get(group, -1) for group in zip(*keys, strict=True)]


def _row_of_tables(
    places: Mapping[Any, int], tables: list[list[float]], n_keys: int
) -> Callable[..., Any]:
    rows = list(zip(*tables, strict=True))
    values: list[Any] = tables[0] if len(tables) == 1 else rows

    def single(raw: Any) -> Any:
        return values[places.get(_key(raw), -1)]

    def several(*raws: Any) -> Any:
        return values[places.get(tuple(map(_key, raws)), -1)]

    return single if n_keys == 1 else several


@declared
@dataclass(frozen=True, slots=True)
class FillByGroup(Operation):
    """Put the value of a group where a number is missing; reads the number, then the keys."""

    word: ClassVar[str] = "fill_by_group"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    groups: tuple[tuple[Scalar | None, ...], ...]
    values: tuple[float | None, ...]
    other: float | None

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        if len(self.reads) < 2:
            raise ValueError("no column of groups")
        widths(self, len(self.reads), 1)
        _check_groups(self.groups, len(self.reads) - 1)
        _check_column(self.values, len(self.groups))
        finite(*([] if self.other is None else [self.other]))

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        _named(kinds)
        if kinds[0] not in NUMBERS:
            raise ValueError("not a number")
        names = (self.reads[1:], ("filled",))
        lookup = Lookup(*names, self.groups, (self.values,), (self.other,)).bind(kinds[1:])

        def row(x: float, *keys: Any) -> float:
            return float(lookup.row(*keys)) if x != x else x

        def many(x: np.ndarray, *keys: Values) -> tuple[Values]:
            import numpy as np

            return (np.where(np.isnan(x), lookup.many(*keys)[0], x),)

        return of_numbers(row, many)


@declared
@dataclass(frozen=True, slots=True)
class Hash(Operation):
    """Spread categories over as many columns as are written, +1 or -1 in one of them.

    As scikit-learn's ``FeatureHasher`` of the token ``prefix=category`` (MurmurHash3, 32 bits,
    seed 0, signed). A missing value is all zeros.
    """

    word: ClassVar[str] = "hash"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    prefix: str

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, len(self.writes))
        whole(len(self.writes), 1, MAX_BUCKETS)
        if not isinstance(self.prefix, str):
            raise TypeError("prefix")

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        _named(kinds)
        width, prefix = len(self.writes), self.prefix
        is_truth = kinds == ("boolean",)

        @functools.lru_cache(maxsize=10_000)
        def place(key: Any) -> tuple[int, float]:
            if key is None:
                return 0, 0.0
            text = key if isinstance(key, str) else number_text(key, is_truth=is_truth)
            hashed = murmur3(f"{prefix}={text}".encode("utf-8", "surrogatepass"))
            return abs(hashed) % width, 1.0 if hashed >= 0 else -1.0

        def row(raw: Any) -> Any:
            at, sign = place(_key(raw))
            return tuple([sign if code == at else 0.0 for code in range(width)])

        def many(x: Values) -> list[Values]:
            import numpy as np

            keys = keys_of(x)
            known = {key: place(key) for key in set(keys)}
            places = np.array([known[key][0] for key in keys], dtype=np.int64)
            signs = np.array([known[key][1] for key in keys], dtype=np.float64)
            return [np.where(places == code, signs, 0.0) for code in range(width)]

        if width == 1:
            return of_numbers(lambda raw: row(raw)[0], many)
        return of_numbers(row, many, width)


def number_text(number: float, *, is_truth: bool = False) -> str:
    """Return a number as text: whole ones without a point, truth values as true and false."""
    if is_truth:
        return "true" if number else "false"
    if number == int(number) and abs(number) < 1e16:
        return str(int(number))
    return repr(float(number))


def murmur3(data: bytes) -> int:
    """Return MurmurHash3 (x86, 32 bits, seed 0) of bytes as a signed number (Appleby, 2011)."""
    hashed = 0
    whole_end = len(data) & ~3
    for start in range(0, whole_end, 4):
        hashed ^= _mixed(int.from_bytes(data[start : start + 4], "little"))
        hashed = ((hashed << 13) | (hashed >> 19)) & _MASK
        hashed = (hashed * 5 + 0xE6546B64) & _MASK
    if whole_end < len(data):
        hashed ^= _mixed(int.from_bytes(data[whole_end:], "little"))
    hashed ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashed = ((hashed ^ (hashed >> shift)) * factor) & _MASK
    hashed ^= hashed >> 16
    return hashed - (1 << 32) if hashed & 0x80000000 else hashed


def _mixed(block: int) -> int:
    block = (block * 0xCC9E2D51) & _MASK
    return (((block << 15) | (block >> 17)) * 0x1B873593) & _MASK
