"""Recipes of preparation: suggested, set, refused, previewed, and made a version."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack import catalog, pipeline
from local_stack.data import versions
from local_stack.data.recipes import document, outline, suggesting
from local_stack.data.recipes.sampling import sample_of
from local_stack.errors import Cancelled, InputError, NotFoundError, ReadOnlyError
from local_stack.progress import Step
from local_stack.runs.recipe import recipe_schema
from local_stack.workspace import Workspace

N = 400


def frame() -> pl.DataFrame:
    """Return a table with something to do for most steps."""
    rng = np.random.default_rng(3)
    colours = np.array(["red", "green", "blue"])[rng.integers(0, 3, N)]
    income = rng.lognormal(3, 1, N).round(2)
    return pl.DataFrame(
        {
            "key": [f"k{n:05d}" for n in range(N)],
            "same": ["x"] * N,
            "income": income,
            "age": [None if n % 10 == 0 else float(20 + n % 50) for n in range(N)],
            "rooms": [None if n == 7 else n % 9 + 1 for n in range(N)],
            "colour": [None if n == 5 else str(colours[n]) for n in range(N)],
            "town": [f"town {n % 60}" for n in range(N)],
            "sex": ["f" if n % 2 else "m" for n in range(N)],
            "since": pl.date_range(
                pl.date(2020, 1, 1),
                pl.date(2020, 1, 1) + pl.duration(days=3 * (N - 1)),
                "3d",
                eager=True,
            ),
            "bought": [n % 3 == 0 for n in range(N)],
        }
    )


@pytest.fixture
def shop(workspace: Workspace, tmp_path: Path) -> Workspace:
    frame().write_parquet(tmp_path / "shop.parquet")
    given = {"name": "shop", "source": str(tmp_path / "shop.parquet"), "target": "bought"}
    catalog.call(workspace, "data.add", {**given, "key": ["key"], "sensitive": ["sex"]})
    return workspace


def recipe(workspace: Workspace, **given: Any) -> Any:
    return catalog.call(workspace, "data.recipe", {"name": "shop", **given})


def prepare(workspace: Workspace, text: str | None = None, **given: Any) -> Any:
    texts = {} if text is None else {"text": text}
    return catalog.call(workspace, "data.prepare", {"name": "shop", **texts, **given})


def features(*steps: str) -> str:
    return "features:\n" + "".join(f"  - {step}\n" for step in steps)


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


# ------------------------------------------------------------------ storing the table


def test_the_prepared_table_is_a_version_with_its_lineage(shop: Workspace) -> None:
    recipe(
        shop,
        text=features(
            "filter: \"col('income') < 100\"",
            "impute: {columns: [age], strategy: mean}",
            "encode: {columns: [town], as: target}",
            "drop: {columns: [same]}",
        ),
    )
    found = prepare(shop, **{"as": "ready", "tag": "v1", "note": "for the model"})
    made = found.made
    assert (made.dataset, made.target, made.note) == ("ready", "bought", "for the model")
    assert made.tags == ("v1",)
    source = versions.find(shop, "shop")
    assert made.lineage["derived_from"] == source.reference
    told = made.lineage["preparation"]
    assert (told["recipe"], told["hash"]) == (1, recipe(shop).hash)
    assert told["features"] == recipe(shop).document["features"]
    assert told["is_out_of_fold"] is found.is_out_of_fold is True
    dataset = shop.get("datasets", "ready")
    assert dataset is not None
    assert (dataset["keys"], dataset["sensitive"]) == (["key"], ["sex"])
    kept = frame().filter(pl.col("income") < 100)
    table = versions.read(shop, made)
    assert table.drop("age", "town").equals(kept.drop("age", "town", "same"))
    mean = kept["age"].mean()
    assert table["age"].to_numpy() == pytest.approx(kept["age"].fill_null(mean).to_numpy())
    assert prepare(shop, **{"as": "ready"}).made.version == made.version  # the same bytes


def test_a_rows_own_target_is_not_in_its_encoding(shop: Workspace, tmp_path: Path) -> None:
    text = features("encode: {columns: [colour], as: target}")

    def encoded(table: pl.DataFrame, name: str) -> pl.Series:
        path = tmp_path / f"{name}.parquet"
        table.write_parquet(path)
        given = {"name": name, "source": str(path), "target": "bought"}
        catalog.call(shop, "data.add", given)
        catalog.call(shop, "data.prepare", {"name": name, "text": text, "as": f"{name}-ready"})
        return versions.read(shop, versions.find(shop, f"{name}-ready"))["colour"]

    table = frame()
    row = 100
    flipped = table.with_columns(
        pl.when(pl.int_range(pl.len()) == row)
        .then(~pl.col("bought"))
        .otherwise(pl.col("bought"))
        .alias("bought")
    )
    folds = 5
    first, second = encoded(table, "one"), encoded(flipped, "two")
    is_same = (first == second).to_numpy()
    assert is_same[row]
    assert 0 < (~is_same).sum() <= N * (folds - 1) / folds


def test_it_cannot_become_a_version_of_what_it_was_made_from(shop: Workspace) -> None:
    text = features("drop: {columns: [key]}")
    before = shop.query("SELECT name FROM datasets")
    with pytest.raises(InputError, match="cannot be a version of 'shop' itself"):
        prepare(shop, text, **{"as": "shop"})
    with pytest.raises(InputError, match="U\\+002F"):
        prepare(shop, text, **{"as": "a/b"})
    with pytest.raises(InputError, match="belong to --as"):
        prepare(shop, text, tag="x")
    assert shop.query("SELECT name FROM datasets") == before


def test_a_table_without_columns_is_no_version(shop: Workspace, tmp_path: Path) -> None:
    frame().write_parquet(tmp_path / "free.parquet")
    catalog.call(shop, "data.add", {"name": "free", "source": str(tmp_path / "free.parquet")})
    given = {"name": "free", "text": features("drop: {columns: all}"), "as": "none"}
    with pytest.raises(InputError, match="line 2: No column is left to learn from"):
        catalog.call(shop, "data.prepare", given)
    assert shop.get("datasets", "none") is None


@pytest.mark.parametrize("step", ["drop: {columns: all}", "select: {columns: date}"])
def test_a_target_alone_is_no_prepared_version(shop: Workspace, step: str) -> None:
    steps = features("drop: {columns: [since]}", step)
    for where in ({}, {"as": "none"}):
        with pytest.raises(InputError, match="line 3: No column is left to learn from"):
            prepare(shop, steps, **where)
    with pytest.raises(InputError, match="line 3: No column is left to learn from"):
        recipe(shop, text=steps)
    assert shop.get("datasets", "none") is None


def test_a_table_of_nothing_but_its_target_is_not_prepared(shop: Workspace, tmp_path: Path) -> None:
    frame().select("bought").write_parquet(tmp_path / "bare.parquet")
    source = str(tmp_path / "bare.parquet")
    catalog.call(shop, "data.add", {"name": "bare", "source": source, "target": "bought"})
    with pytest.raises(InputError, match="No column is left to learn from"):
        catalog.call(shop, "data.prepare", {"name": "bare", "text": "features: []", "as": "none"})
    assert shop.get("datasets", "none") is None


@pytest.mark.parametrize(
    "step",
    [
        "rename: {income: bought}",
        "expression: {bought: \"col('income') > 3\"}",
        "ratio: {columns: [income, rooms], as: bought}",
    ],
)
@pytest.mark.parametrize("target", ["", "target: bought\n"])
def test_no_step_makes_a_column_of_the_targets_name(
    shop: Workspace, tmp_path: Path, step: str, target: str
) -> None:
    kept = "select: {columns: [income, rooms]}"
    text = target + features(kept, step, "impute: {columns: all}")
    place = f"line {3 + bool(target)}: The recipe makes a column 'bought'"
    for where in ({}, {"as": "none"}):
        with pytest.raises(InputError, match=place):
            prepare(shop, text, **where)
    path = tmp_path / "run.yaml"
    path.write_text(text + "dataset: shop\n")
    with pytest.raises(InputError, match=rf"run\.yaml, {place}"):
        catalog.call(shop, "runs.train", {"recipe": str(path)})
    assert shop.get("datasets", "none") is None


def test_a_linear_model_learns_from_the_waves_of_dates_with_gaps(
    shop: Workspace, tmp_path: Path
) -> None:
    dated = pl.when(pl.int_range(pl.len()) % 4 == 0).then(None).otherwise(pl.col("since"))
    table = frame().select("income", dated.alias("since"), "bought")
    table.write_parquet(tmp_path / "dated.parquet")
    given = {"name": "dated", "source": str(tmp_path / "dated.parquet"), "target": "bought"}
    catalog.call(shop, "data.add", given)
    path = tmp_path / "run.yaml"
    path.write_text(
        "dataset: dated\nestimator: sklearn.linear_model.LogisticRegression\n"
        + features(
            "dates: {columns: date, parts: [month], cyclic: [month]}",
            "impute: {columns: numeric, strategy: median}",
            "scale: {columns: numeric}",
        )
    )
    assert catalog.call(shop, "runs.train", {"recipe": str(path)}).metrics
    last = catalog.call(shop, "data.prepare", {"name": "dated", "recipe": str(path)}).steps[-1]
    assert {c.name for c in last.changes} >= {"since_month_sin", "since_month_cos"}
    assert all(c.after is not None and c.after.n_missing == 0 for c in last.changes)


def test_stopping_leaves_nothing_behind(shop: Workspace) -> None:
    text = features("drop: {columns: [key]}")
    given = {"name": "shop", "text": text, "as": "half"}
    for label in ("Step 1: drop", "Writing the table", "Storing the table"):

        def stop(step: Step, label: str = label) -> None:
            if step.label == label:
                raise Cancelled

        with pytest.raises(Cancelled):
            catalog.call(shop, "data.prepare", given, progress=stop)
        assert shop.get("datasets", "half") is None


@pytest.mark.parametrize(
    ("table", "target"),
    [("california_housing", "median_house_value"), ("german_credit", "default"),
     ("titanic", "survived")],
)  # fmt: skip
def test_a_first_recipe_of_a_real_table_leaves_only_numbers(
    workspace: Workspace, shared_data: Path, table: str, target: str
) -> None:
    source = str(shared_data / "tabular" / f"{table}.csv")
    catalog.call(workspace, "data.add", {"name": "t", "source": source, "target": target})
    found = catalog.call(workspace, "data.recipe", {"name": "t", "suggest": True})
    assert found.document["features"]
    made = catalog.call(workspace, "data.prepare", {"name": "t", "as": "ready"}).made
    frame = versions.read(workspace, made)
    assert frame.height == versions.find(workspace, "t").rows
    rest = frame.drop(target)
    assert all(kind.is_numeric() or kind == pl.Boolean for kind in rest.dtypes)
    assert rest.null_count().sum_horizontal().item() == 0


# ------------------------------------------------------------------ in a run, in a pipeline, killed


def test_a_run_learns_with_the_stored_recipe(shop: Workspace, tmp_path: Path) -> None:
    steps = ["drop: {columns: [key, same, since]}", "impute: {columns: numeric}"]
    recipe(shop, text=features(*steps, "drop: {columns: [colour, town, sex]}"))
    recipe(shop, text=features("select: {columns: [town]}"))
    written = str(recipe(shop, number=1).document["features"])

    def trained(given: str) -> Any:
        path = tmp_path / "run.yaml"
        path.write_text(
            "dataset: shop\nestimator: sklearn.linear_model.LogisticRegression\n"
            f"features: {given}\n"
        )
        run = catalog.call(shop, "runs.train", {"recipe": str(path)})
        row = shop.get("runs", run.run_id)
        assert row is not None
        return run.metrics, row["recipe"]["features"]

    assert trained("{recipe: shop, number: 1}") == trained(written)
    with pytest.raises(InputError, match="Column 'town' is a text"):
        trained("stored")  # the newest
    with pytest.raises(NotFoundError, match="Its recipes are 1 to 2"):
        trained("{recipe: shop, number: 7}")
    with pytest.raises(InputError, match=r"run.yaml, line 3: 'recpe'.*Did you mean 'recipe'"):
        trained("{recpe: shop}")
    validator = jsonschema_rs.Draft202012Validator(recipe_schema())
    assert validator.is_valid({"dataset": "d", "features": "stored"})
    assert validator.is_valid({"dataset": "d", "features": {"recipe": "d", "number": 2}})
    assert not validator.is_valid({"dataset": "d", "features": "stord"})


def test_a_pipeline_repeats_only_what_has_changed(shop: Workspace, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(features("impute: {columns: [age]}"))
    (tmp_path / "p.yaml").write_text(
        "name: p\nsteps:\n  - data.recipe: {name: shop, set: r.yaml}\n"
        "  - data.prepare: {name: shop, as: ready}\n"
    )

    def statuses() -> list[str]:
        return [step.status for step in pipeline.run(shop, tmp_path / "p.yaml").steps]

    first = statuses()
    again = statuses()
    assert len(set(first)) == len(set(again)) == 1
    assert first != again
    other = features("impute: {columns: [age], strategy: constant, value: 1}")
    (tmp_path / "r.yaml").write_text(other)
    assert statuses() == first
    assert len(shop.query("SELECT * FROM data_versions WHERE dataset = 'ready'")) == 2


_WORKER = """
import itertools, os, sys
from local_stack import environment
environment.prepare()
from local_stack.catalog import call
from local_stack.workspace import Workspace
root, acks = sys.argv[1:]
out = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
with Workspace.open(root) as workspace:
    for n in itertools.count():
        text = f"features: [{{clip: {{columns: [income], upper: {n % 90 + 5}, by: values}}}}]"
        made = call(workspace, "data.prepare", {"name": "shop", "text": text, "as": "ready"}).made
        os.write(out, f"{made.version} {n % 90 + 5}\\n".encode())
"""


@pytest.mark.slow
def test_a_killed_preparation_leaves_whole_versions_only(shop: Workspace, tmp_path: Path) -> None:
    acks, dice = tmp_path / "acks", random.Random(5)
    acks.touch()
    for _ in range(12):
        worker = subprocess.Popen([sys.executable, "-c", _WORKER, str(shop.root), str(acks)])
        before = acks.stat().st_size
        while acks.stat().st_size == before:
            assert worker.poll() is None
            time.sleep(0.02)
        time.sleep(dice.uniform(0, 0.4))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    told = dict(line.split() for line in acks.read_text().splitlines() if line.count(" ") == 1)
    stored = shop.query("SELECT version FROM data_versions WHERE dataset = 'ready'")
    assert told
    assert set(told) <= {row["version"] for row in stored}
    for row in stored:
        table = versions.read(shop, versions.find(shop, f"ready@{row['version']}"))
        assert table.height == N
        if row["version"] in told:
            assert table["income"].max() <= float(told[row["version"]])


# ------------------------------------------------------------------ texts

_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
_STEPS = st.one_of(
    st.builds(lambda names: {"drop": {"columns": names}}, st.lists(_NAMES, min_size=1, max_size=4)),
    st.builds(lambda a, b: {"rename": {a: b}}, _NAMES, _NAMES),
    st.builds(
        lambda a, x: {"impute": {"columns": [a], "strategy": "constant", "value": x}},
        _NAMES,
        st.one_of(_NAMES, st.integers(-(10**12), 10**12), st.floats(-1e300, 1e300), st.booleans()),
    ),
)
_NOTES = st.sampled_from(["", "# why\n", "  # why: because\n", "\n", "  # - nothing: {a: b}\n"])


@given(steps=st.lists(_STEPS, max_size=5), target=st.none() | _NAMES, is_ascii=st.booleans())
def test_what_is_written_reads_back(
    steps: list[dict[str, Any]], target: str | None, is_ascii: bool
) -> None:
    values = {**({"target": target} if target else {}), "features": steps}
    text = document.text_of(values, is_ascii=is_ascii)
    assert document.parse(text).values == values
    assert text.isascii() or not is_ascii


@given(
    steps=st.lists(st.tuples(_NOTES, _STEPS), min_size=1, max_size=5),
    place=st.integers(0, 4),
    by=st.integers(-4, 4),
    has_more=st.booleans(),
)
def test_entries_can_be_moved_left_out_and_turned_off(
    steps: list[tuple[str, dict[str, Any]]], place: int, by: int, has_more: bool
) -> None:
    place %= len(steps)
    rows = [f"{note}{line}\n" for note, step in steps
            for line in ["\n".join(document.step_lines(step))]]  # fmt: skip
    more = "estimator: lightgbm\n" if has_more else ""
    text = f"# a title\ntarget: y\nfeatures:\n{''.join(rows)}{more}"
    values = [step for _, step in steps]
    found = outline.outline_of(text)
    assert found.text == text
    assert [it.step for it in found.entries] == values

    moved = [*values[:place], *values[place + 1 :]]
    assert _values(found.without(place).text) == moved
    moved.insert(min(max(0, place + by), len(moved)), values[place])
    assert _values(found.moved(place, by).text) == moved
    off = found.turned(place)
    assert _values(off.text) == [*values[:place], *values[place + 1 :]]
    again = outline.outline_of(off.text)
    assert [it.step for it in again.entries] == values
    assert [it.number == 0 for it in again.entries] == [n == place for n in range(len(values))]
    assert _values(again.turned(place).text) == values
    new = {"drop": {"columns": ["z"]}}
    assert _values(found.inserted(place, "- drop: {columns: [z]}").text) == [
        *values[:place], new, *values[place:]
    ]  # fmt: skip
    assert _values(found.changed(place, "drop: {columns: [z]}").text)[place] == new
    assert found.place_of_line(found.line_of_place(place)) == place


def _values(text: str) -> Any:
    return document.parse(text).values["features"]


def test_steps_written_in_other_ways_can_be_moved_too() -> None:
    text = (
        "features:\n\n  # first\n  - impute:\n      columns: [a]\n      # inside\n"
        "      strategy: mean\n  # second\n  -\n    drop: {columns: [b]}\n\n# the end\ntarget: y\n"
    )
    found = outline.outline_of(text)
    assert found.text == text
    assert found.entries[0].lines[0] == "  - impute:"
    assert found.entries[1].notes == ("  # second",)
    moved = found.moved(0, 1).text
    assert moved.index("# second") < moved.index("# first") < moved.index("# inside")
    assert "# the end\ntarget: y" in moved
    flow = outline.outline_of("features: [{drop: {columns: [a]}}, {drop: {columns: [b]}}]\n")
    assert _values(flow.moved(0, 1).text) == [
        {"drop": {"columns": ["b"]}}, {"drop": {"columns": ["a"]}}
    ]  # fmt: skip
    empty = outline.outline_of("features: []\n")
    assert _values(empty.inserted(0, "drop: {columns: [a]}").text) == [{"drop": {"columns": ["a"]}}]
    assert empty.inserted(0, "drop: {columns: [a]}").without(0).text == "features: []\n"
    with pytest.raises(InputError, match=r"'drp'.* Did you mean 'drop'"):
        outline.entry_of("drp: {columns: [a]}")
    with pytest.raises(InputError, match="There is no step"):
        outline.entry_of("  ")
