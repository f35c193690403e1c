"""Texts of one form, taken apart: URLs, and paths of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.data.profiling.shape import TextPart, ValueCount

if TYPE_CHECKING:
    import polars

N_TOP = 10
"""Values listed of each part."""

LEAST_SHARE = 0.9
"""So many of the texts must be of a form for the column to be of it."""

LONGEST = 2_000
"""Longer texts are of no form."""

_FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "url": (
        r"^[A-Za-z][A-Za-z0-9+.-]{1,15}://[^/\s?#]+[^\s]*$",
        {
            "scheme": r"^([^:]+)://",
            "host": r"^[^:]+://(?:[^/?#@]*@)?([^/?#:]+)",
            "first folder": r"^[^:]+://[^/?#]+(/[^/?#]*)",
            "suffix": r"^[^:]+://[^/?#]+/[^?#]*(\.[A-Za-z0-9]{1,8})(?:[?#]|$)",
        },
    ),
    "path": (
        r"^(?:/|~/|\.{1,2}/|[A-Za-z]:[\\/]|\\\\)[^<>|?*\n]*$",
        {
            "folder": r"^(.*)[\\/][^\\/]*$",
            "suffix": r"(\.[A-Za-z0-9]{1,8})$",
        },
    ),
}


def form_of(counted: polars.DataFrame) -> tuple[str | None, tuple[TextPart, ...]]:
    """Return the form that the texts have, if any, and its parts with how often they occur.

    Parameters
    ----------
    counted
        Distinct texts (``value``) and how often each occurs (``count``).
    """
    import polars as pl

    total = int(counted["count"].sum())
    short = counted.filter(pl.col("value").str.len_bytes() <= LONGEST)
    for form, (pattern, parts) in _FORMS.items():
        matching = short.filter(pl.col("value").str.contains(pattern))
        if total and int(matching["count"].sum()) >= LEAST_SHARE * total:
            listed = [TextPart(name, _values(matching, part)) for name, part in parts.items()]
            return form, tuple(part for part in listed if part.values)
    return None, ()


def _values(counted: polars.DataFrame, pattern: str) -> tuple[ValueCount, ...]:
    import polars as pl

    found = (
        counted.lazy()
        .select(pl.col("value").str.extract(pattern), pl.col("count").cast(pl.Int64))
        .drop_nulls("value")
        .group_by("value")
        .agg(pl.col("count").sum())
        .sort(["count", "value"], descending=[True, False])
        .head(N_TOP)
        .collect()
    )
    return tuple(ValueCount(value, count) for value, count in found.iter_rows())
