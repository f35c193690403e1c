"""What the tests of served and of compared explanations share: loans, two models, an endpoint."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from datetime import date, timedelta

import httpx
import numpy as np
import polars as pl
import pytest
import yaml
from serving_kit import register

from local_stack import registry
from local_stack.data import adding, versions
from local_stack.explain.single import background_columns
from local_stack.runs import records
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.serving.app import Endpoint
from local_stack.serving.folder import (
    EndpointConfig,
    folder_of,
    read_background,
    write_background,
    write_json,
)
from local_stack.serving.prediction_log import PredictionLog, Sealed, record
from local_stack.stores.journal import Draft
from local_stack.stores.model import Model
from local_stack.workspace import Workspace

LOGISTIC = """features:
  - impute: {columns: numeric, strategy: median}
  - scale: {columns: numeric}
  - dates: {columns: [day], parts: [month]}
  - encode: {columns: categorical, as: onehot}
estimator: sklearn.linear_model.LogisticRegression
"""
BOOSTER = """features: [{dates: {columns: [day], parts: [month]}}]
params: {n_estimators: 20, num_leaves: 7, num_threads: 1}
"""


def loans(n_rows: int = 400, seed: int = 3, *, income: float = 0.0) -> pl.DataFrame:
    """Return loans over two hundred days; ``income`` is added to everybody's."""
    rng = np.random.default_rng(seed)
    earned = rng.normal(size=n_rows) + income
    debt = rng.exponential(size=n_rows)
    kind = rng.choice(["car", "house", "other"], n_rows)
    score = 2 * earned - debt + (kind == "house") + rng.normal(scale=0.5, size=n_rows)
    return pl.DataFrame(
        {
            "income": earned,
            "debt": [None if n % 11 == 3 else float(it) for n, it in enumerate(debt)],
            "kind": kind,
            "day": [date(2026, 1, 1) + timedelta(days=n * 200 // n_rows) for n in range(n_rows)],
            "children": rng.integers(0, 4, n_rows),
            "repaid": np.where(score > 0, "yes", "no"),
        }
    )


LATER = loans(300, seed=9, income=-0.4).with_columns(
    kind=pl.when(pl.col("children") > 1).then(pl.lit("house")).otherwise(pl.col("kind"))
)
"""Loans of people who earn less, for houses more often."""


def trained(frame: pl.DataFrame, text: str) -> Model:
    recipe = yaml.safe_load(f"dataset: loans\ntarget: repaid\nsplit: {{seed: 1, folds: 2}}\n{text}")
    return fit(parse_recipe(recipe), frame).model


def add_model(
    workspace: Workspace,
    name: str,
    reference: str,
    *models: Model,
    recipe: dict[str, object] | None = None,
) -> None:
    """Register models as the versions 1, 2, ... of ``name``, of runs of their own."""
    dataset, _, digest = reference.partition("@")
    register(workspace, name, *models)
    for row in workspace.metadata.find("model_versions", name=name):
        run = {
            "run_id": f"{name}{row['version']}",
            "status": "FINISHED",
            "target": models[row["version"] - 1].target,
            "datasets": [{"name": dataset, "digest": digest, "context": "training"}],
            "model": row["model"],
            "recipe": recipe,
        }
        changes = [("runs", run), ("model_versions", {**row, "run_id": run["run_id"]})]
        draft = Draft("runs.ended", f"run:{run['run_id']}", {}, changes)
        workspace.append(lambda _, draft=draft: draft)


@pytest.fixture(scope="session")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with the model ``loans``: version 1 is boosted, 2 is logistic.

    They learnt from the version ``then`` of the loans; there is another one, ``later``.
    """
    folder = tmp_path_factory.mktemp("lender")
    with Workspace.create(folder / "ws", actor="tester") as workspace:
        for tag, frame in (("then", loans()), ("later", LATER)):
            frame.write_parquet(folder / "loans.parquet")
            adding.add(workspace, "loans", str(folder / "loans.parquet"), target="repaid", tag=tag)
        models = [trained(loans(), text) for text in (BOOSTER, LOGISTIC)]
        reference = versions.find(workspace, "loans@then").reference
        add_model(workspace, "loans", reference, *models)
        yield workspace


def model_of(workspace: Workspace, version: int) -> Model:
    return registry.load(workspace, registry.resolve(workspace, f"loans/{version}").model)


@dataclasses.dataclass(frozen=True)
class Served:
    """The HTTP application of an endpoint, without a process of its own."""

    name: str
    model: Model
    client: httpx.AsyncClient


@contextlib.asynccontextmanager
async def served(workspace: Workspace, name: str, version: int, **limits: object):
    """Serve a version of the loans in this process, with a log that is recorded when it ends."""
    found = registry.resolve(workspace, f"loans/{version}")
    model = registry.load(workspace, found.model)
    folder = folder_of(workspace.root, name)
    (folder / "log").mkdir(parents=True, exist_ok=True)
    background = background_columns(
        workspace, records.find_run(workspace, found.run_id), model.inputs
    )
    config = EndpointConfig(
        *(name, "loans", version, "None", found.run_id, "127.0.0.1", 0, "m", {}),
        *(1000, 1_000_000, 20.0, "tester"),
        background=write_background(folder, background),
    )
    config = dataclasses.replace(config, **limits)
    write_json(folder / "endpoint.json", config)

    def tell(sealed: Sealed) -> None:
        record(workspace.journal, "tester", name, sealed)

    with contextlib.closing(PredictionLog(folder / "log", "loans", version, tell)) as log:
        endpoint = Endpoint(model, config, log, lambda: read_background(folder, config))
        transport = httpx.ASGITransport(endpoint.application())
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Served(name, model, client)
