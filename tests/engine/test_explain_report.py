"""The page of an explanation: harmless, whole, small, and of the numbers it was given."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from explain_report_kit import HOSTILE, explained

from local_stack.explain.effects.parts import Dependence, FeatureImportance, Partial
from local_stack.explain.reporting import drawings, page
from local_stack.explain.reporting.cases import waterfall
from local_stack.explain.reporting.geometry import Span, shades, span_of, swarm, thinned, ticks

VOID = {"meta", "input", "wbr"}
ROW = {
    "title": "Row 7",
    "prediction": "bad",
    "base_value": 0.7,
    "unit": "log-odds",
    "reasons": ["amount 12,579 lowers the log-odds of 'good' by 0.83."],
    "counterfactual": {"text": "With amount 9,000 the model says 'good'."},
    "contributions": [
        {"feature": "amount", "value": 12579, "shap": -0.83},
        {"feature": "age", "value": None, "shap": 0.25},
        {"feature": "purpose", "value": "car", "shap": -0.02},
    ],
}


class Outline(HTMLParser):
    """Collects elements and attributes, and fails where one is not closed."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def seen(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_the_page_tells_all_parts_of_an_explanation():
    seen = Outline(page.html(explained(), name="credit/3", rows=[ROW])).seen
    for words in (
        "Explanation of credit/3", "Run", "5" * 32, "Data version", "credit@3f2a",
        "60 of 900 rows, a seeded sample", "log-odds", "0.7 (probability 66.8%)",
        "exact: TreeSHAP", "3.00e-14", "500 rows of credit@3f2a: evenly spread",
        "move the prediction of risk = good the most",
        "Importance", "roc auc gets worse by, when shuffled", "+0.1 [+0.08, +0.13]",
        "On 250 rows that the model did not learn from, roc auc is 0.79",
        "Beeswarm", "Each point is one of 60 rows", "Features", "purpose explains 31 %",
        "Prediction (probability of risk = good) if every row had this value: the mean of 40 rows",
        "30 single rows behind it", "Interactions", "Strongest pairs",
        "gives the model's class in 91.0% of the rows", "always giving the most frequent one: 70.0",
        "If all of these hold", "age <= 3", "Columns that do not help", "No split uses age.",
        "Single rows", "amount = 12,579", "With amount 9,000 the model says 'good'.",
        "age = missing", "What the words mean",
        "+0.69 doubles the odds", "Interactions of age are of 200 rows.",
    ):  # fmt: skip
        assert words in seen, words


def test_parts_that_could_not_be_made_leave_no_empty_section():
    bare = explained(
        permutation=None, interactions=None, surrogate=None, findings=(), background=None, notes=()
    )
    content = page.html(replace(bare, dependences=(), partials=()))
    outline = Outline(content)
    ids = [held.get("id") for name, held in outline.found if name == "section"]
    assert ids == ["overview", "importance", "beeswarm", "unhelpful", "words"]
    assert "shuffled among" in outline.seen  # in the glossary
    assert "when shuffled" not in outline.seen
    links = [held["href"] for name, held in outline.found if name == "a"]
    assert set(links) <= {f"#{key}" for key in ids}


def test_nothing_hostile_becomes_markup():
    row = ROW | {
        "title": HOSTILE[0],
        "prediction": HOSTILE[1],
        "unit": HOSTILE[2],
        "reasons": list(HOSTILE),
        "counterfactual": {"text": HOSTILE[3]},
        "contributions": [{"feature": it, "value": it, "shap": 0.1} for it in HOSTILE],
    }
    hostile = explained(
        HOSTILE, words=HOSTILE, target=HOSTILE[0], output=HOSTILE[1], method=HOSTILE[2],
        unit=HOSTILE[3], estimator=HOSTILE[4], data_version=HOSTILE[5], run_id=HOSTILE[0],
    )  # fmt: skip
    content = page.html(hostile, name=HOSTILE[3], rows=[row])
    plain = Outline(page.html(explained(), name="x", rows=[ROW]))
    outline = Outline(content)
    assert {name for name, _ in outline.found} == {name for name, _ in plain.found}
    assert {key for _, held in outline.found for key in held} <= {
        key for _, held in plain.found for key in held
    }
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e\ud800]", content)
    content.encode()  # no half of a pair is left
    assert "<script>alert(1)</script>" in outline.seen


def test_the_page_asks_for_nothing_and_its_policy_allows_only_its_own_style():
    content = page.html(explained(HOSTILE, words=HOSTILE), rows=[ROW])
    outline = Outline(content)
    for name, held in outline.found:
        assert name not in ("script", "link", "img", "iframe", "object", "base")
        assert not {"src", "style", "srcset", "data", "xlink:href"} & set(held)
        assert not any(key.startswith("on") for key in held)
        if "href" in held:
            assert re.fullmatch(r"#\w+", str(held["href"]))
    (policy,) = [
        held["content"] for _, held in outline.found
        if held.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    (style,) = re.findall(r"<style>(.*?)</style>", content, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style
    assert "@import" not in style


def test_drawings_are_well_formed_and_say_what_they_show():
    content = page.html(explained(HOSTILE, words=HOSTILE), rows=[ROW])
    drawn = re.findall(r"<svg.*?</svg>", content, re.DOTALL)
    assert len(drawn) > 4 * len(HOSTILE)
    for each in drawn:
        root = ElementTree.fromstring(each)
        assert root.get("role") == "img"
        assert root[0].tag == "title"
        assert root[0].text
        for path in root.iter("path"):
            assert re.fullmatch(r"([MLHVhv]-?\d+( -?\d+)?)*", path.get("d") or "")


def test_the_same_explanation_gives_the_same_page():
    assert page.html(explained(), rows=[ROW]) == page.html(explained(), rows=[ROW])


def test_the_page_is_bounded_and_tells_what_it_leaves_out():
    names = [f"{HOSTILE[0]} {place} {'w' * 3000}" for place in range(120)]
    many = explained(names, n_rows=350, words=[f"{place} {'&' * 3000}" for place in range(50)])
    row = ROW | {"contributions": [{"feature": it, "value": it, "shap": 1.0} for it in names]}
    content = page.html(many, name="n" * 9999, rows=[row] * 50)
    assert len(content.encode()) < page.MAX_BYTES
    seen = Outline(content).seen
    assert re.search(r"Features Shown are \d+ of 120 features", seen)
    assert re.search(r"Shown are \d+ of 50 rows", seen)
    assert "108 other columns" in seen
    strips = re.findall(r'<svg[^>]*class="strip">.*?</svg>', content)
    assert max(each.count("h0") for each in strips) <= drawings.MOST_POINTS


def test_of_many_classes_the_importance_is_told_of_each():
    importance = (FeatureImportance("age", 0.6, (0.1, 0.2, 0.3)),)
    given = {"importance": importance, "outputs": ("a", "b", "<i>c"), "output": "b"}
    assert "Summed over" not in Outline(page.html(explained(**given))).seen  # it is of b alone
    seen = Outline(page.html(explained(**given, n_summed=3))).seen
    assert "move the prediction of risk the most" not in seen  # one column moves it
    assert "moves the prediction of risk the most" in seen
    assert "Summed over 3 classes; the table tells of each." in seen
    assert "Feature Mean |SHAP| Share a b <i>c Permutation Low High" in seen
    assert "0.6 100.0% 0.1 0.2 0.3" in seen
    assert "raises the prediction of risk = b" in seen


@pytest.mark.parametrize("n_rows", [0, 1])
def test_a_page_of_no_or_one_row_is_whole(n_rows):
    Outline(page.html(explained(n_rows=n_rows)))
    Outline(page.html(explained(())))


def test_columns_that_move_nothing_are_said_to_move_nothing():
    still = explained(importance=(FeatureImportance("age", 0.0),))
    assert "No column moves the predictions of this model." in page.html(still)


def test_a_waterfall_leads_from_the_base_to_the_sum():
    """The bars join: each begins where the one before ended, and the last ends at the sum."""
    content = waterfall(ROW["contributions"], 0.7, "log-odds")
    bars = [
        (int(x), int(x) + int(width), tone)
        for x, width, tone in re.findall(
            r'<rect x="(\d+)" y="\d+" width="(\d+)" height="\d+" class="bar-(\w+)"', content
        )
    ]
    span = span_of([0.7, -0.13, 0.12, 0.1], margin=0.06)
    ends = [round(span.place(it, 1000)) for it in (0.7, 0.7 - 0.83, 0.7 - 0.58, 0.7 - 0.6)]
    assert [tone for _, _, tone in bars] == ["down", "up", "down"]
    for (left, right, tone), start, end in zip(bars, ends, ends[1:], strict=False):
        assert (left, right) == (min(start, end), max(start, end)), tone
    points = [int(x) for x in re.findall(r'<path d="M(\d+) \d+h0" class="dot big"', content)]
    assert points == [ends[0], ends[-1]]
    assert "+0.1" not in content
    assert ">0.1<" in content


# ------------------------------------------------------------------ where marks lie


def dots(content: str, of: str) -> list[tuple[int, int, str]]:
    """Return the points (x, y, colour) of the drawings of a class."""
    (drawn,) = re.findall(rf'<svg[^>]*class="{of}">.*?</svg>', content)
    return sorted(
        (int(x), int(y), name)
        for path, name in re.findall(r'<path d="([^"]*)" class="dot (\w+)"', drawn)
        for x, y in re.findall(r"M(\d+) (\d+)h0", path)
    )


def test_a_dependence_plot_has_each_row_where_its_numbers_are():
    """Of an axis from -0.4 to 10.4 and one from -1.08 to 1.08: four hundredths beyond the ends."""
    held = Dependence(
        "x", "numeric", (0.0, 5.0, None, 10.0), (-1.0, 0.0, 0.5, 1.0), "z", "numeric",
        (1.0, None, 3.0, 9.0), "", (), 4,
    )  # fmt: skip
    content = drawings.dependence_plot(held, "log-odds")
    assert dots(content, "plot-area") == [
        (round(1000 * 0.4 / 10.8), round(300 - 300 * 0.08 / 2.16), "s0"),
        (500, 150, "grey"),
        (round(1000 * 10.4 / 10.8), round(300 - 300 * 2.08 / 2.16), "s10"),
    ]
    ((_, height, _),) = dots(content, "plot-missing")
    assert height == round(300 - 300 * 1.58 / 2.16)


def test_categories_stand_by_their_mean_and_their_points_by_their_shap_values():
    held = Dependence(
        "x", "categorical", ("b", "a", "b", None, "a"), (-1.0, 0.5, -0.5, 0.25, 1.0), None,
        "numeric", (), "", (), 5,
    )  # fmt: skip
    content = drawings.dependence_plot(held, "log-odds")
    rows = re.findall(r'class="of">(.*?)</div>(<svg.*?</svg>)<span class="n">(.*?)</span>', content)
    assert [(re.sub("<.*?>", "", name), mean) for name, _, mean in rows] == [
        ("a", "+0.75"),
        ("b", "-0.75"),
        ("missing", "+0.25"),
    ]
    places = [[x for x, _, _ in dots(drawn, "strip")] for _, drawn, _ in rows]
    expected = [[0.5, 1.0], [-1.0, -0.5], [0.25]]
    assert places == [[round(1000 * (it + 1.08) / 2.16) for it in row] for row in expected]


def test_partial_dependence_lies_on_the_axis_of_the_dependence():
    beside = Dependence("x", "numeric", (0.0, 10.0), (0.0, 1.0), None, "numeric", (), "", (), 2)
    partial = Partial("x", "numeric", (2.0, 8.0), (0.2, 0.6), ((0.0, 1.0),), "y", "target", 7)
    content = drawings.partial_plot(partial, beside, "y")
    (mean,) = re.findall(r'd="([^"]*)" class="mean"', content)
    (single,) = re.findall(r'd="([^"]*)" class="ice"', content)
    xs = [round(1000 * (it + 0.4) / 10.8) for it in (2, 8)]
    heights = [round(300 - 300 * (it + 0.04) / 1.08) for it in (0.2, 0.6, 0.0, 1.0)]
    assert mean == f"M{xs[0]} {heights[0]}L{xs[1]} {heights[1]}"
    assert single == f"M{xs[0]} {heights[2]}L{xs[1]} {heights[3]}"
    assert "Predicted y if every row had this value: the mean of 7 rows" in content


def test_an_importance_has_a_bar_as_long_as_it_is_and_its_interval():
    content = page.html(explained(n_rows=60))
    shares = [item.mean_abs_shap for item in explained(n_rows=60).explanation.importance]
    bars = [int(w) for w in re.findall(r'width="(\d+)" height="44" class="bar-plain"', content)]
    assert bars == [round(1000 * it / (max(shares) * 1.04)) for it in shares]
    (first, *_) = re.findall(r'd="M(\d+) 30H(\d+)[^"]*" class="whisker"', content)
    span = span_of([0.08, 0.13], with_zero=True)
    assert [int(it) for it in first] == [round(span.place(it, 1000)) for it in (0.08, 0.13)]


def test_points_of_a_swarm_keep_their_distance_and_its_width():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=400), [5.0, 5.0, 5.0]])
    span = span_of(values.tolist())
    beside = swarm(values, span)
    assert np.abs(beside).max() == 1
    places = {(round(100 * span.place(v), 6) // 1, b) for v, b in zip(values, beside, strict=True)}
    bins = np.round(100 * (values - span.low) / (span.high - span.low))
    assert len(set(zip(bins, beside, strict=True))) == len(values)  # no two in one place
    assert sorted(beside[-3:]) == [-beside[-2:].max(), 0, beside[-2:].max()]
    assert places
    assert swarm(np.zeros(0), span).shape == (0,)


def test_a_thinned_column_keeps_its_ends_and_its_quantiles():
    rng = np.random.default_rng(2)
    values = rng.lognormal(size=10_000)
    kept = values[thinned(values, 300)]
    assert len(kept) == 300
    assert (kept.min(), kept.max()) == (values.min(), values.max())
    q = [10, 25, 50, 75, 90]
    assert np.percentile(kept, q) == pytest.approx(np.percentile(values, q), rel=0.01)
    assert thinned(values[:5], 300).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(0, 1), (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (Span(-0.3, 0.28), (-0.2, 0, 0.2)),
        (Span(1e9, 1e9 + 10), tuple(1e9 + 2 * it for it in range(6))),
        (Span(-1e300, 1e300), (-1e300, -5e299, 0, 5e299, 1e300)),
        (Span(3.0, 3.0 + 1e-15), ()),
    ],
)
def test_ticks_are_round_numbers_within_the_axis(span, expected):
    assert ticks(span) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("with_zero", [False, True])
@pytest.mark.parametrize("values", [[], [3.0], [0.0], [float("nan")], [1e308, -1e308], [1e-320]])
def test_every_axis_has_two_ends(values, with_zero):
    span = span_of(values, with_zero=with_zero)
    assert span.low < span.high
    assert all(0 <= span.place(value) <= 1 for value in values if value == value)
    assert span.holds_zero or not with_zero
    ticks(span)


def test_colours_go_from_low_to_high_and_what_has_no_order_is_grey():
    assert shades([0.0, 0.5, 1.0, 7.0, None, float("nan")]) == [0, 5, 10, 10, -1, -1]


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_chromium_asks_for_nothing(tmp_path):
    """Chromium's own log names each request and refused policy."""
    place = tmp_path / "report.html"
    place.write_text(page.html(explained(HOSTILE, words=HOSTILE), rows=[ROW]))
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
    held = log.read_text(encoding="utf-8", errors="replace")
    asked = set(re.findall(r'"(?:url|host)":"([^"]*)"', held))
    chromiums_own = re.compile(r"google|gvt1\.com")
    assert {each for each in asked if "." in each and not chromiums_own.search(each)} == set()
