"""A recipe makes a version, and runs and pipelines learn with it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import polars as pl
import pytest
from recipes_kit import N, features, frame, prepare, recipe

from local_stack import catalog, pipeline
from local_stack.data import versions
from local_stack.errors import Cancelled, InputError, NotFoundError
from local_stack.progress import Step
from local_stack.runs.recipe import recipe_schema
from local_stack.workspace import Workspace

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
