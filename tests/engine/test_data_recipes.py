"""Recipes of preparation: suggested, set, refused and previewed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from recipes_kit import N, features, frame, prepare, recipe

from local_stack import catalog
from local_stack.data import versions
from local_stack.data.recipes import document, outline, suggesting
from local_stack.data.recipes.sampling import sample_of
from local_stack.errors import InputError, NotFoundError, ReadOnlyError
from local_stack.workspace import Workspace

# ------------------------------------------------------------------ suggesting


def test_a_first_recipe_has_a_step_and_a_reason_for_what_is_there(shop: Workspace) -> None:
    found = recipe(shop, suggest=True)
    steps = {word: body for step in found.document["features"] for word, body in step.items()}
    drops = [s["drop"]["columns"] for s in found.document["features"] if "drop" in s]
    assert sorted(name for columns in drops for name in columns) == ["key", "same"]
    encoded = {
        (s["encode"]["as"], *s["encode"]["columns"])
        for s in found.document["features"]
        if "encode" in s
    }
    assert encoded == {("ordinal", "sex"), ("onehot", "colour"), ("target", "town")}
    imputed = [s["impute"] for s in found.document["features"] if "impute" in s]
    assert [(it["columns"], it["strategy"], it.get("indicator")) for it in imputed] == [
        (["rooms"], "median", None),
        (["age"], "median", True),
        (["colour"], "constant", None),
    ]
    assert steps["power"]["columns"] == ["income"]
    assert steps["dates"]["parts"] == ["year", "month", "dayofweek", "elapsed_days"]
    assert "# missing: 1 of rooms (0.2%)" in found.text
    assert "# missing: 40 of age (10.0%)" in found.text
    assert found.document["target"] == "bought"
    assert (found.number, found.source) == (1, "suggested")
    every_step = found.text.count("\n  - ")
    assert found.text.count("\n  # ") >= every_step == len(found.document["features"])
    prepared = prepare(shop)
    last = prepared.steps[-1].after
    assert set(last.types) <= {"numeric", "encoded", "boolean"}
    assert not any(value is None for row in last.rows for value in row)
    assert recipe(shop, suggest=True).number == 1  # it says the same


def test_leaks_and_repeats_stand_in_a_suggestion_turned_off() -> None:
    variable = {
        "type": "long", "kind": "numeric", "n_missing": 0, "p_missing": 0.0, "n_distinct": 30,
        "skewness": 0.1, "kurtosis": 0.0, "n_zeros": 0, "min": 1,
    }  # fmt: skip
    alerts = [
        {"code": "leakage", "column": "a", "other_column": "y", "value": 0.99, "values": []},
        {"code": "duplicates", "column": None, "other_column": None, "value": 3, "values": []},
        {"code": "high_correlation", "column": "a", "other_column": "b", "value": 0.95,
         "values": []},
    ]  # fmt: skip
    profile = {"variables": {"a": variable, "b": variable, "y": variable}, "alerts": alerts}
    found = suggesting.suggestions(profile, "y")
    off = [next(iter(it.step)) for it in found if not it.is_on]
    assert off == ["drop", "deduplicate", "ratio"]
    text = suggesting.text_of(found, "y", "t@1")
    assert document.parse(text).values["features"] == [
        {"scale": {"columns": "numeric", "method": "standard"}}
    ]
    entries = outline.outline_of(text).entries
    assert [it.number for it in entries] == [0, 0, 0, 1]
    turned = outline.outline_of(text).turned(1).text
    assert document.parse(turned).values["features"][0] == {
        "deduplicate": {"columns": "all", "keep": "first"}
    }


def test_sentinels_become_missing_before_they_are_filled(
    workspace: Workspace, tmp_path: Path
) -> None:
    ages = [-999 if n % 20 == 0 else 20 + n % 40 for n in range(N)]
    table = pl.DataFrame({"age": ages, "y": [n % 2 for n in range(N)]})
    table.write_csv(tmp_path / "s.csv")
    catalog.call(
        workspace, "data.add", {"name": "s", "source": str(tmp_path / "s.csv"), "target": "y"}
    )
    found = catalog.call(workspace, "data.recipe", {"name": "s", "suggest": True})
    words = [next(iter(step)) for step in found.document["features"]]
    assert words == ["expression", "impute", "scale"]
    steps = catalog.call(workspace, "data.prepare", {"name": "s"}).steps
    assert steps[0].changes[0].after.n_missing == 20
    assert steps[1].changes[0].after.min == 21  # no longer -999


def test_a_suggestion_is_for_the_target_that_is_named(shop: Workspace) -> None:
    found = recipe(shop, suggest=True, target="sex")
    assert found.document["target"] == "sex"
    assert "sex" not in str(found.document["features"])
    with pytest.raises(InputError, match="--target belongs to --suggest"):
        recipe(shop, target="sex")


def test_hostile_names_are_suggested_for(workspace: Workspace, tmp_path: Path) -> None:
    names = [
        "a: b",
        "# - drop: {}",
        "x\ny",
        "\x1b[2J",
        "yes",
        "1e5",
        "'",
        '"',
        "\\",
        "{}",
        "ä\u202e",
    ]
    table = pl.DataFrame(
        {name: [None if n % 11 == place else float(n**3) for n in range(60)]
         for place, name in enumerate(names)}
    )  # fmt: skip
    table.write_parquet(tmp_path / "h.parquet")
    catalog.call(workspace, "data.add", {"name": "h", "source": str(tmp_path / "h.parquet")})
    found = catalog.call(workspace, "data.recipe", {"name": "h", "suggest": True})
    kept = [column.name for column in versions.find(workspace, "h").schema]
    power = next(s["power"] for s in found.document["features"] if "power" in s)
    assert power["columns"] == kept
    assert all(line.isprintable() for line in found.text.splitlines())
    assert outline.outline_of(found.text).text == found.text


# ------------------------------------------------------------------ setting


def test_recipes_are_numbered_hashed_and_kept(shop: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no recipe"):
        recipe(shop)
    path = tmp_path / "r.yaml"
    path.write_text(features("impute: {columns: [age]}  # why"))
    first = recipe(shop, set=str(path))
    assert (first.number, first.source, first.actor) == (1, "file", "tester")
    assert first.text == path.read_text()
    assert first.document == {"features": [{"impute": {"columns": ["age"], "strategy": "median"}}]}
    assert recipe(shop, set=str(path)).number == 1
    second = recipe(shop, text=features("impute: {columns: [age], strategy: median}"))
    assert (second.number, second.hash) == (2, first.hash)  # it does the same
    third = recipe(shop, text=features("impute: {columns: [age], strategy: mean}"))
    assert third.hash != first.hash
    assert recipe(shop, number=1).text == first.text
    assert recipe(shop).number == 3
    with pytest.raises(NotFoundError, match="has no recipe 9"):
        recipe(shop, number=9)
    events = shop.query("SELECT * FROM events WHERE kind = 'data.recipe_set' ORDER BY seq")
    assert [event["body"]["number"] for event in events] == [1, 2, 3]
    recipe(shop, number=1, to=str(tmp_path / "out.yaml"))
    assert (tmp_path / "out.yaml").read_text() == first.text


def test_of_a_runs_recipe_file_the_features_are_taken(shop: Workspace) -> None:
    text = (
        "experiment: e\ndataset: shop\ntarget: bought\n# about the features\nfeatures:\n"
        "  # filled\n  - impute: {columns: numeric}\n\nestimator: lightgbm\nparams: {n: 1}\n"
    )
    found = recipe(shop, text=text)
    assert found.text.startswith("target: bought\n")
    assert "# filled\n  - impute" in found.text
    assert "estimator" not in found.text
    assert "experiment, dataset, estimator, params" in found.warnings[0]
    one = recipe(shop, text="{dataset: shop, features: [{impute: {columns: numeric}}]}")
    assert document.parse(one.text).values["features"] == found.document["features"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- impute: {columns: numeric}\n", "begins with 'features:'"),
        ("target: bought\n", "needs the key 'features'"),
        ("features: []\nfeaturs: []\n", "line 2: 'featurs' is not a key.* Did you mean 'features'"),
        (features("inpute: {columns: numeric}"), "line 2: 'inpute'.* Did you mean 'impute'"),
        (
            features("drop: {columns: [key]}", "impute: {columns: [agee]}"),
            "line 3: .*'agee'.*'age'",
        ),
        (features("scale: {columns: [town]}"), "line 2: .*'town'.* is a text"),
        (features("expression: {a: \"col('agee') + 1\"}"), "line 2: .*agee"),
        ("target: bougt\nfeatures: []\n", "line 1: .*no column 'bougt'.*'bought'"),
        (features("impute: {columns: [bought]}"), "line 2: .*'bought', which is not there"),
        ("features: [", "not valid YAML"),
        ("\x00", "not valid YAML"),
        (features("filter: \"col('age') > 500\""), "line 2: .*no row"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_line(
    shop: Workspace, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    before = shop.metadata.position
    with pytest.raises(InputError, match=message) as caught:
        recipe(shop, set=str(path))
    assert str(caught.value).startswith("bad.yaml")
    assert shop.metadata.position == before
    with pytest.raises(InputError, match=message):
        prepare(shop, None, recipe=str(path))


def test_only_one_source_and_no_writing_when_read_only(shop: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Only one of"):
        recipe(shop, suggest=True, number=1)
    with pytest.raises(NotFoundError, match="There is no file"):
        recipe(shop, set=str(tmp_path / "nothing.yaml"))
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        recipe(shop, set=str(tmp_path))
    recipe(shop, text=features("drop: {columns: [key]}"))
    with Workspace.open(shop.root, readonly=True) as reader:
        assert recipe(reader).number == 1
        assert prepare(reader).steps
        for given in ({"suggest": True}, {"text": features("drop: {columns: [key]}")}):
            with pytest.raises(ReadOnlyError):
                recipe(reader, **given)
        with pytest.raises(ReadOnlyError):
            prepare(reader, **{"as": "other"})


# ------------------------------------------------------------------ previewing


def test_a_preview_tells_what_each_step_does(shop: Workspace) -> None:
    table = frame()
    text = features(
        "filter: \"col('income') < 100\"",
        "impute: {columns: [age], indicator: true}",
        "winsorise: {columns: [income], lower: 0.1, upper: 0.9}",
        "encode: {columns: [sex], as: onehot}",
        "drop: {columns: [same, key]}",
    )
    found = prepare(shop, text)
    kept = table.filter(pl.col("income") < 100)
    filtered, imputed, limited, encoded, dropped = found.steps
    assert (filtered.n_rows_before, filtered.n_rows_after) == (N, kept.height)
    assert filtered.changes == ()
    left_out = set(filtered.before.numbers) - set(filtered.after.numbers)
    income = table["income"].to_list()
    assert left_out
    assert all(income[row] >= 100 for row in left_out)
    changes = {(it.name, it.change): it for it in imputed.changes}
    age = changes["age", "changed"]
    median = kept["age"].median()
    assert imputed.fitted[0].value == median
    assert age.before.n_missing == kept["age"].null_count()
    assert age.after.n_missing == 0
    assert age.after.mean == pytest.approx(kept["age"].fill_null(median).mean(), rel=1e-12)
    assert changes["age_missing", "added"].after.mean == pytest.approx(
        kept["age"].is_null().mean(), rel=1e-12
    )
    place = imputed.before.columns.index("age")
    shown = [row[place] for row in imputed.before.rows]
    assert None in shown  # rows that the step changes are among those shown
    assert imputed.before.numbers == imputed.after.numbers
    low, high = np.quantile(kept["income"].to_numpy(), [0.1, 0.9])
    after = limited.changes[0].after
    assert (after.min, after.max) == pytest.approx((low, high), rel=1e-12)
    assert after.std == pytest.approx(np.clip(kept["income"], low, high).std(ddof=1), rel=1e-9)
    assert sum(after.counts) == kept.height
    assert [it.change for it in encoded.changes].count("removed") == 1
    assert {it.name for it in dropped.changes} == {"same", "key"}
    fits = [it.fits_on for it in found.steps]
    assert fits == ["nothing", "rows", "rows", "rows", "nothing"]
    assert (found.n_columns_before, found.target) == (9, "bought")
    assert not found.is_sample
    assert found.recipe is None


def test_a_sample_says_so_and_is_the_same_each_time(shop: Workspace) -> None:
    text = features("impute: {columns: [age], strategy: mean}")
    found = prepare(shop, text, rows=50)
    assert (found.is_sample, found.n_rows_used, found.n_rows_total) == (True, 50, N)
    assert prepare(shop, text, rows=50).steps == found.steps
    path = versions.table_path(shop, versions.find(shop, "shop"))
    sample = sample_of(path, 50).frame
    assert sample.height == 50
    assert found.steps[0].fitted[0].value == pytest.approx(sample["age"].mean(), rel=1e-12)
    assert sample["key"].is_sorted()
    assert set(sample["key"]) <= set(frame()["key"])
    assert sample_of(path, None).frame.equals(frame())
    with pytest.raises(InputError, match="at least one row"):
        prepare(shop, text, rows=0)


def test_a_step_can_be_looked_at_alone(shop: Workspace) -> None:
    recipe(shop, text=features("drop: {columns: [key]}", "impute: {columns: numeric}"))
    found = prepare(shop, step=1)
    assert [it.word for it in found.steps] == ["drop"]
    assert (found.step, found.recipe) == (1, 1)
    with pytest.raises(InputError, match="Its steps are 1 to 2"):
        prepare(shop, step=3)
    with pytest.raises(InputError, match="Only one of"):
        prepare(shop, features(), number=1)


def test_a_problem_comes_with_the_steps_before_it(shop: Workspace) -> None:
    text = features("drop: {columns: [key]}", "scale: {columns: [town]}", "drop: {columns: [sex]}")
    with pytest.raises(InputError, match="line 3") as caught:
        prepare(shop, text)
    steps = caught.value.result.steps
    assert [it.word for it in steps] == ["drop", "scale"]
    assert "town" in steps[1].problem
