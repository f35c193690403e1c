"""Searches of a store that MLflow wrote, against ``MlflowClient.search_runs`` on the same store."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_stores_kit import (
    Logged,
    Vocabulary,
    mlflow_filter,
    mlflow_order,
    remembered,
    search_ids,
    vocabulary,
    write_runs,
)

from local_stack.workspace import Workspace


@dataclass(frozen=True)
class Store:
    """A workspace, MLflow's client of its store, and what was written there."""

    workspace: Workspace
    client: Any
    runs: list[Logged]
    words: Vocabulary
    experiments: dict[str, str]


@contextlib.contextmanager
def _store(folder: Path, uri: str) -> Iterator[Store]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        with Workspace.create(folder, actor="tester", tracking_uri=uri) as workspace:
            client = MlflowClient(uri)
            runs = write_runs(client, seed=5)
            ids = {e.name: e.experiment_id for e in client.search_experiments()}
            yield Store(workspace, client, runs, vocabulary(client, runs), ids)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("search") / "ws"
    with (
        _store(folder, (folder / "mlruns").as_uri()) as made,
        remembered(made.client, pytest.MonkeyPatch()),
    ):
        yield made


@pytest.fixture(scope="module")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("search")
    with _store(folder / "ws", f"sqlite:///{folder / 'mlflow.db'}") as made:
        yield made


def _mlflow(store: Store, filter_text: str, order: list[str], state: str, only: str | None) -> Any:
    from mlflow.entities import ViewType

    view = {"active": ViewType.ACTIVE_ONLY, "deleted": ViewType.DELETED_ONLY, "all": ViewType.ALL}
    experiments = [store.experiments[only]] if only else list(store.experiments.values())
    found = store.client.search_runs(
        experiments, filter_text, view[state], max_results=1_000, order_by=order
    )
    return [run.info.run_id for run in found]


STATES = st.sampled_from(["active", "active", "all", "deleted"])
UNHURRIED = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def _same(store: Store, data: st.DataObject) -> None:
    filter_text = data.draw(mlflow_filter(store.words), label="filter")
    order = data.draw(mlflow_order(), label="order")
    state = data.draw(STATES, label="state")
    only = data.draw(st.none() | st.sampled_from(sorted(store.experiments)), label="experiment")
    options = {"experiment": only, "order_by": tuple(order), "state": state}
    ours = search_ids(store.workspace, filter_text, **options)
    try:
        expected = _mlflow(store, filter_text, order, state, only)
    except Exception as error:
        # It reads no exponent with a plus sign, and its database no key twice in an order.
        if "e+" in filter_text or "duplicate fields" in str(error):
            return
        raise
    assert ours == expected


@settings(UNHURRIED, max_examples=60)
@given(data=st.data())
def test_a_search_gives_the_runs_of_mlflow_in_its_order(store: Store, data: st.DataObject) -> None:
    _same(store, data)


@pytest.mark.slow
@settings(UNHURRIED, max_examples=600)
@given(data=st.data())
def test_thousands_of_searches_give_the_runs_of_mlflow(store: Store, data: st.DataObject) -> None:
    _same(store, data)


@pytest.mark.slow
@settings(UNHURRIED, max_examples=400)
@given(data=st.data())
def test_a_database_of_mlflow_is_searched_as_mlflow_searches_it(
    sqlite_store: Store, data: st.DataObject
) -> None:
    _same(sqlite_store, data)


def test_the_store_holds_what_the_filters_are_about(store: Store) -> None:
    """Else the comparisons above would compare nothing with nothing."""
    found = {
        text: len(_mlflow(store, text, [], "all", None))
        for text in (
            "metrics.a > -1e400",
            "params.n LIKE '%n%'",
            "tags.a IS NULL",
            "datasets.context = 'train'",
            "status = 'RUNNING'",
            "end_time > 0",
        )
    }
    assert min(found.values()) > 1
    assert max(found.values()) < len(store.runs)
    assert _mlflow(store, "", [], "deleted", None)
