"""The parts of the page about columns together, and about rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from local_stack.data.profiling.page_charts import (
    MAX_LETTERED,
    cells,
    density,
    heat_map,
    meter,
    scale,
    scatter,
)
from local_stack.data.profiling.page_context import Context, link
from local_stack.data.profiling.page_html import (
    Markup,
    counted,
    cut,
    joined,
    left_out,
    length,
    percent,
    table,
    tabs,
    tag,
    value_of,
    within,
)
from local_stack.data.profiling.shape import (
    Correlations,
    DatasetProfile,
    Matrix,
    Missing,
)

N_PAIRS = 20
"""Pairs of columns listed under a matrix."""

_FEW_PAIRS = 12  # with more, only those of one column are shown at first

N_BARS = 60
"""Columns whose missing values are drawn, unless all of them fit."""


def _nothing(sentence: str) -> Markup:
    return tag("p", sentence, class_="none")


def interactions(profile: DatasetProfile, budget: int) -> Markup | None:
    """Return each pair of numbers as densities and as points, to be chosen by x and y."""
    pairs = profile.interactions
    if not pairs:
        return None
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.x, pair.y)))
    first = profile.target if profile.target in names else names[0]
    densities = _drawn(profile, first, map(density, pairs), _density_note(profile), budget)
    parts = (("Density", densities), ("Points", _points(profile, first, budget)))
    return tag("div", _chooser(names), tabs("pairs", parts), class_="card")


def _chooser(names: Sequence[str]) -> Markup:
    options = joined(tag("option", cut(name, 60), value=name) for name in names)
    every = tag("option", "every column", value="")
    return tag(
        "p",
        tag("label", "x ", tag("select", every, options, id="pair-x")),
        tag("label", "y ", tag("select", every, options, id="pair-y")),
        class_="controls",
        hidden="",
    )


def _density_note(profile: DatasetProfile) -> str:
    note = "The stronger the colour, the more rows, on a logarithmic scale. "
    note += "What lies outside of an axis counts at its border."
    n_rows = max(pair.n_rows for pair in profile.interactions)
    if 0 < n_rows < profile.overview.n_rows:
        note += f" Taken over at most {n_rows:,} rows."
    return note


def _points(profile: DatasetProfile, first: str, budget: int) -> Markup | None:
    points = profile.points
    held = [
        pair
        for pair in profile.interactions
        if pair.x in points.columns and pair.y in points.columns
    ]
    if not held:
        return None
    n = len(points.numbers)
    note = f"Each point is a row. Shown are {n:,} random rows of {profile.overview.n_rows:,}."
    if n == profile.overview.n_rows:
        note = f"Each point is one of the {n:,} rows."
    drawn = (scatter(pair.x, pair.y, points) for pair in held)
    return _drawn(profile, first, drawn, note, budget)


def _drawn(
    profile: DatasetProfile, first: str, drawings: Iterable[Markup], note: str, budget: int
) -> Markup:
    held, n = within(drawings, budget)
    return tag(
        "div",
        tag("p", note, class_="note"),
        tag("div", held, class_="pairs", data_first=first if n > _FEW_PAIRS else ""),
        left_out(n, len(profile.interactions), "pair"),
    )


def correlations(profile: DatasetProfile, context: Context, budget: int) -> Markup | None:
    """Return a heat map and the strongest pairs for each method."""
    found = profile.correlations
    named = [item for item in _methods(found) if len(item[1].columns) > 1]
    if not named:
        return None
    parts: list[tuple[str | Markup, Markup | None]] = []
    for name, matrix, note, is_signed in named:
        part = _method(name, matrix, note, is_signed, context)
        budget -= length(part)
        if budget < 0:
            part = tag(
                "div",
                tag("p", "The heat map is left out, to keep this file small.", class_="cut"),
                _pairs(matrix, context, is_signed),
            )
        parts.append((name, part))
    return tag("div", tabs("corr", parts), class_="card")


def _methods(found: Correlations) -> Iterator[tuple[str, Matrix, str, bool]]:
    yield (
        "Every type",
        found.mixed,
        "Two numbers: |Spearman's rho|. Two categories: Cramér's V. One of each: correlation "
        "ratio (eta). All in [0, 1].",
        False,
    )
    yield "Pearson", found.pearson, "Pearson's r of each pair's rows that hold both.", True
    yield (
        "Spearman",
        found.spearman,
        "Spearman's rho of each pair's rows that hold both; equal values share their mean rank.",
        True,
    )
    if found.kendall is not None:
        note = "Kendall's tau-b"
        if found.kendall_rows is not None:
            note += f" over {counted(found.kendall_rows, 'row')}"
        yield "Kendall", found.kendall, f"{note}.", True
    yield "Cramér's V", found.cramers_v, f"Cramér's V, {found.cramers_v_convention}.", False


def _method(name: str, matrix: Matrix, note: str, is_signed: bool, context: Context) -> Markup:
    cut_off = None
    if matrix.left_out:
        n = len(matrix.left_out)
        cut_off = tag("p", f"{counted(n, 'column')} beyond the first are left out.", class_="cut")
    return tag(
        "div",
        tag("p", note, class_="note"),
        tag(
            "div",
            tag("div", heat_map(matrix, name), scale("-1" if is_signed else "0", "1", is_signed)),
            _pairs(matrix, context, is_signed),
            class_="beside" if len(matrix.columns) <= MAX_LETTERED else None,
        ),
        cut_off,
    )


def _pairs(matrix: Matrix, context: Context, is_signed: bool) -> Markup:
    ordered = sorted(matrix.pairs(), key=lambda pair: -abs(pair[2]))
    rows = [
        (
            link(first, context),
            link(second, context),
            meter(abs(value), "neg" if value < 0 else ""),
            f"{value:+.4f}" if is_signed else f"{value:.4f}",
        )
        for first, second, value in ordered[:N_PAIRS]
    ]
    return tag(
        "div",
        tag("h4", "Strongest pairs"),
        table(("Column", "Column", "Strength", "Value"), rows, "list short", (3,)),
        tag("p", f"The {len(rows)} strongest of {len(ordered):,} pairs.", class_="cut")
        if len(rows) < len(ordered)
        else None,
    )


def missing(profile: DatasetProfile, context: Context) -> Markup | None:
    """Return where values are missing: by column, by block of rows, together."""
    seen = profile.overview
    if not seen.n_rows or not seen.n_columns:
        return None
    if not seen.n_missing:
        return tag("div", _nothing("No value is missing."), class_="card")
    parts = (
        ("Count", _missing_counts(profile, context)),
        ("Matrix", _missing_matrix(profile.missing, seen.n_rows)),
        ("Heat map", _nullity(profile.missing)),
        ("Patterns", _patterns(profile.missing, seen.n_rows, context)),
    )
    return tag("div", tabs("missing", parts), class_="card")


def _missing_counts(profile: DatasetProfile, context: Context) -> Markup:
    held = list(profile.variables)
    if len(held) > N_BARS:
        held = sorted((v for v in held if v.n_missing), key=lambda v: -v.n_missing)
    n_rows = profile.overview.n_rows
    rows = [
        (
            link(v.name, context),
            meter(1 - v.p_missing),
            f"{n_rows - v.n_missing:,}",
            f"{v.n_missing:,}" if v.n_missing else "",
            percent(v.p_missing) if v.n_missing else "",
        )
        for v in held[:N_BARS]
    ]
    return tag(
        "div",
        table(("Column", "Values", "Present", "Missing", "Share"), rows, numbers=(2, 3, 4)),
        left_out(len(rows), len(profile.variables), "column", "Those that miss most come first."),
    )


def _missing_matrix(seen: Missing, n_rows: int) -> Markup | None:
    chosen = [
        place
        for place in range(len(seen.columns))
        if len(seen.columns) <= N_BARS or any(block[place] for block in seen.matrix)
    ]
    kept = chosen[:N_BARS]
    if not kept or not seen.matrix:
        return None

    def step(x: int, y: int) -> int:
        return -(-int(seen.matrix[y][kept[x]] * 1000) // 100)  # in tenths, upwards

    side = 48 if len(kept) <= 20 else 18
    label = f"Missing values of {counted(len(kept), 'column')} (across) and {n_rows:,} rows (down)"
    drawn = tag(
        "svg",
        tag("title", label),
        cells(len(kept), len(seen.matrix), step, "p"),
        viewBox=f"0 0 {len(kept)} {len(seen.matrix)}",
        width=len(kept) * side,
        height=240,
        preserveAspectRatio="none",
        role="img",
        class_="heat",
    )
    names = joined(tag("li", cut(seen.columns[place], 24)) for place in kept)
    held = tag(
        "div", tag("ol", names, class_="across"), tag("div", drawn), class_=f"matrix s{side}"
    )
    note = f"Each line stands for {counted(seen.block_rows, 'row')}, from the first to the last; "
    return tag(
        "div",
        tag("p", f"{note}the stronger the colour, the more values are missing.", class_="note"),
        tag("div", held, class_="scroll", tabindex=0),
        scale("none", "all", False),
        left_out(len(kept), len(chosen), "column"),
    )


def _nullity(seen: Missing) -> Markup | None:
    matrix = seen.nullity
    if len(matrix.columns) < 2:
        return None
    note = "Correlation of being missing: 1 where two columns miss the same rows."
    return tag(
        "div",
        tag("p", note, class_="note"),
        heat_map(matrix, "Nullity correlation"),
        scale("-1", "1", True),
    )


def _patterns(seen: Missing, n_rows: int, context: Context) -> Markup | None:
    if not seen.patterns:
        return None
    rows = [
        (
            joined(tag("span", link(name, context), class_="chip") for name in item.columns[:20])
            or tag("i", "nothing is missing", class_="none"),
            f"+ {len(item.columns) - 20}" if len(item.columns) > 20 else "",
            f"{item.count:,}",
            percent(item.count / n_rows),
            meter(item.count / n_rows),
        )
        for item in seen.patterns[:20]
    ]
    return tag(
        "div",
        tag("p", "Columns that are missing together, and in no other columns.", class_="note"),
        table(("Missing together", "", "Rows", "Share", ""), rows, numbers=(2, 3)),
    )


def duplicates(profile: DatasetProfile, budget: int) -> Markup:
    """Return the rows that occur most often."""
    seen, found = profile.overview, profile.duplicates
    if not seen.n_duplicate_rows:
        return tag("div", _nothing("No row repeats another."), class_="card")
    text = f"{counted(seen.n_duplicate_rows, 'row')} repeat an earlier one "
    text += f"({percent(seen.p_duplicate_rows)})."
    first = tuple(f"{count:,}" for count in found.counts)
    rows = _rows("Occurs", first, found.columns, found.rows, budget)
    return tag("div", tag("p", text, class_="note"), rows, class_="card")


def sample(profile: DatasetProfile, budget: int) -> Markup | None:
    """Return the first and the last rows."""
    held = profile.sample
    if not held.rows:
        return None
    numbers = held.numbers or tuple(range(len(held.rows)))
    break_at = next(
        (i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1), len(numbers)
    )
    names = tuple(f"{value:,}" for value in numbers)
    head = _rows("", names[:break_at], held.columns, held.rows[:break_at], budget // 2)
    tail = _rows("", names[break_at:], held.columns, held.rows[break_at:], budget // 2)
    parts = (("First rows", head), ("Last rows", tail if break_at < len(numbers) else None))
    return tag("div", tabs("sample", parts), class_="card")


def _rows(
    title: str,
    firsts: Sequence[str],
    columns: Sequence[str],
    rows: Sequence[Sequence[str | None]],
    budget: int,
) -> Markup:
    """Return rows as a table of as many columns as the budget allows."""
    n = _n_columns(columns, rows, budget)
    shown = (
        (first, *(value_of(_clipped(cell)) for cell in row[:n]))
        for first, row in zip(firsts, rows, strict=False)
    )
    titles = (title, *(tag("span", cut(name, 40), class_="name") for name in columns[:n]))
    return tag("div", table(titles, shown, "list rows"), left_out(n, len(columns), "column"))


def _clipped(cell: str | None) -> str | None:
    return None if cell is None else cut(cell, 60)


def _n_columns(columns: Sequence[str], rows: Sequence[Sequence[str | None]], budget: int) -> int:
    for place, name in enumerate(columns):
        budget -= 60 + 4 * min(len(name), 40)
        budget -= sum(46 + 4 * min(len(row[place] or ""), 60) for row in rows)
        if budget < 0:
            return place
    return len(columns)
