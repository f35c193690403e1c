"""PNG figures of an explanation: one a feature, whose names are never a path, always the same."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from explain_report_kit import HOSTILE, explained
from PIL import Image

from local_stack.explain.reporting import figures
from local_stack.explain.reporting.points import categories_of, colouring_of, in_order, label_of


def test_each_feature_has_a_figure_and_the_model_two(tmp_path):
    written = figures.draw(explained(), tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in written] == [
        "shap_model_explainer.png",
        "importance.png",
        "dependence/01-age.png",
        "dependence/02-purpose.png",
        "dependence/03-since.png",
    ]
    for path in written:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert min(image.size) >= 200
            assert len(np.unique(np.asarray(image.convert("L")))) > 20  # something is drawn
            assert not image.info.get("Software")


def test_the_same_explanation_gives_the_same_bytes(tmp_path):
    """Also after other figures: one that is drawn on again leaves nothing behind."""
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    held = explained()
    drawn = figures.draw(held, first)
    turned = replace(held, dependences=held.dependences[::-1])
    again = figures.draw(turned, second)
    assert [path.name for path in drawn[2:]] == [path.name for path in again[2:][::-1]]
    assert [path.read_bytes() for path in drawn[:2]] == [path.read_bytes() for path in again[:2]]
    assert [path.read_bytes() for path in drawn[2:]] == [
        path.read_bytes() for path in again[2:][::-1]
    ]


def test_hostile_names_never_become_a_path(tmp_path):
    folder = tmp_path / "explain"
    folder.mkdir()
    written = figures.draw(explained(HOSTILE[4:11], n_rows=30, words=HOSTILE), folder)
    assert len(written) == 2 + 7
    assert {path.parent for path in written[2:]} == {folder / "dependence"}
    assert sorted(tmp_path.rglob("*.png")) == sorted(written)
    for place, name in enumerate(HOSTILE, start=1):
        made = figures.file_name(place, name)
        assert re.fullmatch(r"\d\d-[a-z0-9][a-z0-9_]{0,39}\.png", made)
    assert figures.file_name(3, "Volatile Acidity") == "03-volatile_acidity.png"
    assert figures.file_name(4, "Crédit") == "04-credit.png"


def test_no_more_figures_than_promised(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "MOST_DEPENDENCES", 2)
    assert len(figures.draw(explained([f"x{it}" for it in range(6)], n_rows=9), tmp_path)) == 4


@pytest.mark.parametrize("n_rows", [0, 1])
def test_no_rows_or_one_are_drawn_too(tmp_path, n_rows):
    assert len(figures.draw(explained(n_rows=n_rows), tmp_path)) == 5
    assert len(figures.draw(explained(()), tmp_path)) == 2


def test_a_beeswarm_has_high_values_in_red_on_their_side(tmp_path):
    """Where SHAP values grow with the feature, blue lies left of red."""
    n = 200
    held = explained(["x"], n_rows=n)
    line = tuple(place / n - 0.5 for place in range(n))
    swarm = replace(held.beeswarm, shap=(line,), scaled=(tuple(place / n for place in range(n)),))
    (path, *_) = figures.draw(replace(held, beeswarm=swarm, dependences=()), tmp_path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)[:, :-110]  # without the colour bar
    red = np.argwhere((pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 140))
    blue = np.argwhere((pixels[..., 0] < 60) & (pixels[..., 2] > 200))
    assert len(red) > 50
    assert len(blue) > 50
    assert blue[:, 1].max() < red[:, 1].min()


def test_values_have_the_places_and_colours_of_their_kind():
    held = explained(n_rows=60)
    age, purpose, since = held.dependences
    numbers = in_order(age.values, age.kind)
    assert np.isnan(numbers[0])
    assert numbers[1:5].tolist() == [1, 2, 3, 4]
    days = in_order(since.values, since.kind)
    assert days[1] == datetime(2011, 2, 17, tzinfo=UTC).timestamp()
    assert label_of(since.values, since.kind)(float(days[1])) == since.values[1]
    by_category, by_date, by_number = map(colouring_of, (age, purpose, since))
    assert sorted(by_category.names) == ["car", "house", "tv"]
    assert by_category.grey == "missing"
    assert by_category.marks[0] == -1
    assert by_date.is_scale
    assert by_number.is_scale
    assert min(by_number.marks) == -1
    assert max(by_number.marks) == 10
    categories, others = categories_of(purpose)
    assert [it.name for it in categories][-1] is None
    assert others == 0
    means = [it.mean for it in categories[:-1]]
    assert means == sorted(means, reverse=True)
    assert sum(len(it.rows) for it in categories) == 60


def test_times_of_day_and_unreadable_dates():
    assert in_order(("06:30:00", "x", None), "date")[0] == 6.5 * 3600
    assert np.isnan(in_order(("06:30:00", "x", None), "date")[1:]).all()
    assert label_of(("06:30:00", None), "date")(6.5 * 3600) == "06:30"
    assert in_order(("1969-12-31T23:59:59Z",), "date").tolist() == [-1.0]


def test_settings_of_matplotlib_from_outside_change_nothing(tmp_path, monkeypatch):
    import matplotlib as mpl

    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    held = replace(explained(), dependences=())
    drawn = figures.draw(held, first)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        again = figures.draw(held, second)
    assert [it.read_bytes() for it in drawn] == [it.read_bytes() for it in again]
    assert isinstance(drawn[0], Path)
