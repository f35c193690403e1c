"""The profile as one HTML file: small, harmless, whole, and readable without a script."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.data import adding, profiles
from local_stack.data.profiling import page
from local_stack.data.profiling.page_html import escaped, percent, plain_number, tag, value_of
from local_stack.data.profiling.shape import (
    Alert,
    AlertChanges,
    CharacterGroup,
    Correlations,
    DatasetProfile,
    DateStatistics,
    DuplicateRows,
    Histogram,
    Interaction,
    Lengths,
    Matrix,
    Missing,
    MissingPattern,
    NumberStatistics,
    Overview,
    Rows,
    SeriesStatistics,
    TextStatistics,
    Thresholds,
    ValueCount,
    VariableProfile,
)
from local_stack.errors import ConflictError, InputError, NotFoundError

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "</style></title></textarea><svg onload=alert(1)>",
    "javascript:alert(1)",
    "'><img src=http://evil.invalid/a.png><link rel=stylesheet href=//evil.invalid/a.css>",
    "{{7*7}}${7*7}<%= 7 %>",
    "\u2028line\u2029end",
    "\u202egnp.exe",
    "nul\x00esc\x1b[2J",
    "half \ud800 pair",
    "]]><!--",
    "&lt;b&gt;",
    " padded ",
    "",
    "x" * 3000,
]
VOID = {"meta", "input", "wbr"}


def histogram(n: int = 12) -> Histogram:
    return Histogram(tuple(range(n + 1)), tuple((i * 7) % 11 for i in range(n)))


def number(name: str, **given: object) -> VariableProfile:
    numbers = NumberStatistics(
        mean=29.699118, std=14.5, variance=211.0, min=0.42, q05=4.0, q25=20.1, median=28.0,
        q75=38.0, q95=56.0, max=80.0, sum=21205.17, skewness=0.389, kurtosis=0.178, mad=9.0,
        n_zeros=3, n_negative=0, n_infinite=0, histogram=histogram(30), range=79.58, iqr=17.9,
        cv=0.489, monotonicity=None, n_outliers=11,
        smallest=tuple(ValueCount(i + 0.42, 1) for i in range(10)),
        largest=tuple(ValueCount(80.0 - i, 2) for i in range(10)),
    )  # fmt: skip
    top = tuple(ValueCount(24.0 + i, 30 - i) for i in range(10))
    plain = VariableProfile(
        name, "double", "numeric", 177, 0.1987, 88, 7200, top, 0.123, 16, 0.02, numbers
    )
    return replace(plain, **given)


def text(name: str, values: list[str]) -> VariableProfile:
    counts = tuple(ValueCount(value, 20 - i) for i, value in enumerate(values[:10]))
    letters = (ValueCount("e", 60), ValueCount(" ", 30), ValueCount("\u202e", 2))
    group = CharacterGroup("Lowercase letter", 100, 9, letters)
    made_of = TextStatistics(
        120, 12, 44, letters, (ValueCount("Ll", 100),), (ValueCount("Latin", 90),), counts, 200,
        by_category=(group,), by_script=(replace(group, name="Latin"),), n_categories=11,
        by_block=(replace(group, name="Basic Latin"),), n_scripts=1, n_blocks=1,
    )  # fmt: skip
    lengths = Lengths(0, 12.5, 9.0, 3000, histogram(8))
    return VariableProfile(
        name, "string", "text", 0, 0.0, 300, 900, counts, lengths=lengths, text=made_of
    )


def made(variables: list[VariableProfile], **given: object) -> DatasetProfile:
    names = tuple(variable.name for variable in variables)
    first = names[:40]
    n = len(first)
    grid = tuple(
        tuple(1.0 if i == j else ((i * 7 + j * 7) % 19 - 9) / 9.5 for j in range(n))
        for i in range(n)
    )
    matrix = Matrix(first, grid, names[40:])
    cells = tuple(tuple(f"r{row} c{i}" for i in range(len(names))) for row in range(20))
    rows = Rows(names, (*range(10), *range(881, 891)), cells)
    alerts = tuple(Alert("missing", name, 0.2, 0.05, f"{name} misses values.") for name in names)
    profile = DatasetProfile(
        overview=Overview(891, len(names), 866, 0.088, 2, 0.002, 78_000, {"double": 4}, 88.1),
        variables=tuple(variables),
        correlations=Correlations(matrix, matrix, matrix, mixed=matrix),
        alerts=alerts,
        thresholds=Thresholds(),
        target=names[0] if names else None,
        missing=Missing(
            names,
            90,
            tuple(tuple((row + i) % 7 / 6 for i in range(len(names))) for row in range(10)),
            Matrix(first[:2], ((1.0, -0.3), (-0.3, 1.0))),
            (MissingPattern(names[:2], 9), MissingPattern((), 800)),
            183,
        ),
        interactions=tuple(
            Interaction(a, b, (0.0, 1.0, 2.0), (0.0, 5.0, 9.0), ((3, 0), (1, 200)))
            for a, b in pairwise(names[:6])
        ),
        duplicates=DuplicateRows(names, cells[:1], (3,)),
        sample=rows,
        changes=AlertChanges("titanic@old", alerts[:1], alerts[1:2], len(names)),
        reproduction={
            "dataset": "titanic",
            "version": "3f2a",
            "command": "paceml-tui data profile",
        },
    )
    return replace(profile, **given)


class Outline(HTMLParser):
    """Collects elements and attributes, and fails where one is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def seen(self) -> str:
        return " ".join(" ".join(self.text).split())


def outline(content: str) -> Outline:
    found = Outline()
    found.feed(content)
    found.close()
    assert found.open == []
    return found


def columns(n: int) -> list[VariableProfile]:
    return [number(f"x{i}") if i % 2 else text(f"t{i}", ["a", "b"]) for i in range(n)]


def test_a_page_has_the_parts_that_a_profile_is_known_for():
    dates = DateStatistics("2020-01-01", "2024-01-01", histogram(), 1461.0, 2, "increasing")
    series = SeriesStatistics((0.9, 0.5, None), -3.1, 0.02, True, 12, (1.0, None, 3.0, 2.0))
    day = replace(number("day"), type="date", kind="datetime", numbers=None, dates=dates)
    profile = made([number("age", series=series), text("name", ["Mr", "Miss"]), day])
    found = outline(page.render(profile))
    for word in (
        "Dataset statistics", "Variable types", "Alerts", "Reproduction", "1 new, 1 resolved",
        "Thresholds", "Quantile statistics", "Descriptive statistics", "Histogram",
        "Common values", "Extreme values", "Smallest values", "Largest values", "Autocorrelation",
        "Words", "Characters", "Interactions", "Correlations", "Strongest pairs", "Every type",
        "Pearson", "Spearman", "Cramér's V", "Missing values", "Matrix", "Heat map", "Patterns",
        "Duplicate rows", "First rows", "Last rows", "Moves with", "2020-01-01", "1,461 days",
        "Lowercase letter", "Basic Latin", "1 of 11 groups", "Configuration of the analysis",
        "paceml-tui data profile",
    ):  # fmt: skip
        assert word in found.seen, word
    assert {"overview", "variables", "sample"} <= {a.get("id") for _, a in found.found}


def test_a_page_names_the_hashes_of_its_style_and_script_and_forbids_the_rest():
    content = page.render(made(columns(6)))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', content)
    assert policy is not None
    assert policy[1].startswith("default-src 'none';")
    assert "unsafe" not in policy[1]
    for name in ("style", "script"):
        (held,) = re.findall(rf"<{name}>(.*?)</{name}>", content, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(held.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy[1]


def test_a_page_asks_for_nothing_from_anywhere():
    content = page.render(made(columns(8)))
    for name, attributes in outline(content).found:
        assert name not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert "style" not in attributes  # the policy would drop it
        assert not any(key.startswith("on") for key in attributes)
        for key in ("href", "src", "action", "srcset", "xlink:href"):
            held = attributes.get(key) or "#"
            is_saved = "download" in attributes and held.startswith("data:application/json;")
            assert held.startswith("#") or is_saved, attributes
    assert not re.search(r"@import|url\(|https?:|//[a-z]+\.|fetch\(|XMLHttp|WebSocket", content)


def test_nothing_hostile_becomes_markup():
    variables = [text(f"{name}{i}", HOSTILE) for i, name in enumerate(HOSTILE)]
    profile = made(variables)
    noisy = Alert(
        "personal_data",
        HOSTILE[0],
        1,
        1,
        HOSTILE[1],
        HOSTILE[2],
        values=(ValueCount(HOSTILE[0], 1),),
    )
    profile = replace(
        profile,
        alerts=(noisy,),
        target=variables[0].name,
        reproduction={"dataset": HOSTILE[0], "version": HOSTILE[3], HOSTILE[1]: HOSTILE[2]},
    )
    content = page.render(profile)
    found = outline(content)
    assert [name for name, _ in found.found].count("script") == 1
    assert not {"img", "textarea"} & {name for name, _ in found.found}
    assert all(not key.startswith("on") for _, each in found.found for key in each)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u2028\u2029\u202a-\u202e\ud800-\udfff]", content)
    assert "<script>alert(1)</script>" in found.seen
    assert "\\u202egnp.exe" in found.seen
    content.encode()  # half a surrogate pair cannot be written


@given(st.text(alphabet=st.characters(codec=None)))
def test_every_text_comes_back_from_an_element_as_it_was_shown(value):
    made_of = tag("b", value, title=value)
    found = outline(made_of)
    assert [name for name, _ in found.found] == ["b"]
    shown = html.unescape(escaped(value))
    assert "".join(found.text) == shown
    assert found.found[0][1]["title"] == shown
    shown.encode()
    assert all(character.isprintable() for character in shown if character != "\u3000")


@pytest.mark.parametrize("n", [1, 30, 400, 1500, 12_000])
def test_a_page_stays_under_three_megabytes_and_says_what_it_left_out(n):
    wide = made([replace(v, name=v.name + "ü" * 40) for v in columns(n)])
    content = page.render(wide)
    assert len(content.encode()) < 3_000_000
    found = outline(content)
    cards = sum(each.get("class") == "card variable" for _, each in found.found)
    if n <= 30:
        assert cards == n
        assert "of 30 variables" not in found.seen
        return
    assert 100 < cards < n
    assert f"Shown are {cards:,} of {n:,} variables, to keep this file small." in found.seen
    assert f"of {n:,} columns, to keep this file small." in found.seen  # sample, missing
    links = {at["href"] for name, at in found.found if name == "a" and "download" not in at}
    places = {f"#{each['id']}" for _, each in found.found if each.get("id")}
    if n < 12_000:
        assert links <= places  # every column has at least a line of its own


def test_the_target_and_what_has_alerts_keeps_its_card_when_there_is_no_room():
    variables = columns(1500)
    last, loud = variables[-1].name, variables[-2].name
    alerts = (Alert("constant", loud, 1, 1, "Every value is the same."),)
    content = page.render(made(variables, target=last, alerts=alerts))
    cards = re.findall(r'class="card variable" data-name="([^"]*)"', content)
    assert {last, loud} <= set(cards)
    assert cards.index(loud) < cards.index(last)  # still in the order of the columns


def test_tabs_need_no_script():
    found = outline(page.render(made(columns(3))))
    radios = [each for name, each in found.found if name == "input" and each["type"] == "radio"]
    labels = {each["for"] for name, each in found.found if name == "label" and "for" in each}
    assert {each["id"] for each in radios} == labels
    first = [each for each in radios if "checked" in each]
    assert len(first) == len({each["name"] for each in radios})
    for each in (each for _, each in found.found if each.get("class") == "controls"):
        assert "hidden" in each  # shown by the script that makes them work


def test_ids_are_there_once():
    found = outline(page.render(made(columns(50))))
    ids = [each["id"] for _, each in found.found if "id" in each]
    assert len(ids) == len(set(ids))


def test_drawings_tell_what_they_show():
    content = page.render(made(columns(4)))
    drawings = re.findall(r"<svg.*?</svg>", content, flags=re.DOTALL)
    assert len(drawings) > 8
    assert all("<title>" in each and 'role="img"' in each for each in drawings)
    assert "Histogram of x1. Fullest bin: 3 to 4: 10 rows" in content


@pytest.mark.parametrize("variables", [[], [number("x", n_missing=891, p_missing=1.0, numbers=None,
                                                   top_values=(), n_distinct=0)]])  # fmt: skip
def test_a_table_without_columns_or_values_makes_a_page(variables):
    empty = made(
        variables,
        overview=Overview(0, len(variables), 0, 0.0, 0, 0.0, 0, {}),
        correlations=Correlations(*[Matrix((), ())] * 3),
        alerts=(), interactions=(), sample=Rows(), missing=Missing(), changes=AlertChanges(),
        reproduction={}, duplicates=DuplicateRows(), target=None,
    )  # fmt: skip
    found = outline(page.render(empty))
    assert "Nothing to report." in found.seen


def test_numbers_are_short_and_their_titles_exact():
    assert plain_number(20640) == "20,640"
    assert plain_number(1987) == "1,987"
    assert plain_number(29.699118) == "29.6991"
    assert plain_number(206855.816909) == "206,856"
    assert plain_number(0.00001234) == "1.23400e-05"
    assert plain_number(float("inf")) == "∞"
    assert plain_number(10**400).startswith("1000")
    assert str(value_of(29.699118)) == '<span title="29.699118">29.6991</span>'
    assert percent(0.00001) == "<0.1%"
    assert percent(0.99999) == ">99.9%"
    assert percent(1) == "100.0%"


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    profile = made(columns(3))
    place = tmp_path / "wine.html"
    assert page.write_page(profile, place) == place.stat().st_size
    before = place.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        page.write_page(made(columns(4)), place)
    assert place.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["wine.html"]


def test_only_a_page_is_replaced(tmp_path):
    profile = made(columns(1))
    with pytest.raises(InputError, match="is a folder"):
        page.write_page(profile, tmp_path)
    with pytest.raises(NotFoundError, match="There is no folder"):
        page.write_page(profile, tmp_path / "no" / "wine.html")
    table = tmp_path / "wine.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(ConflictError, match=r"wine\.csv exists already and is no HTML page"):
        page.write_page(profile, table)
    assert table.read_text() == "a,b\n1,2\n"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConflictError, match="is no HTML page"):
        page.write_page(profile, pipe)


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_chromium_runs_nothing_hostile_and_asks_for_nothing(tmp_path):
    """Chromium's own log names each request, refused policy and script error."""
    variables = [text(f"{name}{i}", HOSTILE) for i, name in enumerate(HOSTILE)]
    place = tmp_path / "page.html"
    page.write_page(made([*variables, *columns(6)]), place)
    log = tmp_path / "net.json"
    ended = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            "--disable-background-networking", "--disable-component-update", "--no-first-run",
            f"--user-data-dir={tmp_path / 'user'}", "--virtual-time-budget=4000",
            f"--log-net-log={log}", "--dump-dom", place.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in ended.stderr, ended.stderr
    assert f"{len(variables) + 6} of {len(variables) + 6} shown" in ended.stdout  # the script ran
    held = log.read_text(encoding="utf-8", errors="replace")
    asked = set(re.findall(r'"(?:url|host)":"([^"]*)"', held))
    chromiums_own = re.compile(r"google|gvt1\.com")  # its updates and dictionaries
    assert {each for each in asked if "." in each and not chromiums_own.search(each)} == set()


def test_a_leak_is_shown_with_the_column_that_leaks_and_not_with_the_target():
    leak = Alert("leakage", "x1", 1.0, 0.95, "It tells the target.", "x3")
    twins = Alert("high_correlation", "x5", 0.99, 0.9, "Moves with 'x7'.", "x7", "pearson")
    content = page.render(made(columns(8), target="x3", alerts=(leak, twins)))
    badges = {
        name: re.findall(r'<b class="badge \w+">([^<]*)</b>', body)
        for name, body in re.findall(
            r'<article[^>]*data-name="([^"]*)"[^>]*><div class="front"><header>(.*?)</header>',
            content,
        )
    }
    assert badges["x1"] == ["Leakage"]
    assert badges["x3"] == ["Target"]
    assert badges["x5"] == badges["x7"] == ["High correlation"]


def test_values_that_may_be_personal_are_named_to_whoever_hands_the_page_on():
    alert = Alert("personal_data", "t0", 0.9, 0.5, "These look like e-mail addresses.")
    found = outline(page.render(made(columns(2), alerts=(alert,))))
    assert "This page shows values of 't0', which may be personal data." in found.seen


def test_the_verb_writes_no_page_among_the_records_of_the_workspace(workspace, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n")
    adding.add(workspace, "t", str(tmp_path / "t.csv"))
    for place in (workspace.root / "journal" / "t.html", Path("s3://bucket/t.html"), tmp_path):
        with pytest.raises(InputError):
            profiles.profile(workspace, "t", html=place)
    place = tmp_path / "t.html"
    result = profiles.profile(workspace, "t", html=place, column=("a",))
    assert "t@" in outline(place.read_text(encoding="utf-8")).seen
    assert result.to_dict()["reproduction"]["columns"] == ["a"]
    with pytest.raises(InputError, match="has no column 'c'"):
        profiles.profile(workspace, "t", column=("c",))


def test_the_band_of_an_autocorrelation_is_that_of_all_rows_not_of_the_points_drawn():
    series = SeriesStatistics((0.9, 0.5), -3.1, 0.02, True, None, (1.0, 2.0, 3.0))
    content = page.render(made([number("x", series=series)]))
    (low, high) = re.findall(r"M0 ([\d.]+)H2M0 ([\d.]+)H2", content)[0]
    assert float(high) - float(low) == pytest.approx(2 * 50 * 1.96 / (891 - 177) ** 0.5, abs=0.02)


def test_labels_of_an_axis_can_be_told_apart():
    numbers = replace(number("x").numbers, histogram=Histogram((10**9, 10**9 + 2), (3,)))
    content = page.render(made([number("x", numbers=numbers)]))
    labels = re.findall(
        r"<span>([^<]*)</span>", re.findall(r'class="axis">(.*?)</div>', content)[0]
    )
    assert len(labels) == len(set(labels)) == 3


def test_a_notebook_shows_the_page_in_a_frame_of_its_own():
    profile = made([text("<i>", HOSTILE)])
    ((name, attributes),) = outline(profile._repr_html_()).found
    assert (name, attributes["sandbox"]) == ("iframe", "allow-scripts")
    assert attributes["srcdoc"] == page.render(profile)


def test_matrices_that_are_drawn_have_their_numbers_in_a_table_too():
    content = page.render(made(columns(30)))
    assert content.count("<summary>Table</summary>") == 4  # one for each method
    assert "<summary>Table</summary>" not in page.render(made(columns(60), correlations=wide(60)))


def wide(n: int) -> Correlations:
    names = tuple(f"x{i}" for i in range(n))
    matrix = Matrix(names, tuple((0.5,) * n for _ in names))
    return Correlations(matrix, matrix, matrix)
