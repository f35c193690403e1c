"""The command explain.fairness on real tables, what it records, and the gates that look at it."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest
from fairness_kit import EXACT, people

from local_stack import registry
from local_stack.catalog import call
from local_stack.data import versions
from local_stack.errors import InputError, RefusedError, UnavailableError
from local_stack.explain import fairness as measuring
from local_stack.explain.groups.report import FILE, FairnessReport
from local_stack.explain.subject import subject_of
from local_stack.runs.comparison import predictions
from local_stack.runs.fairness import gates_of
from local_stack.stores.artifacts import Blob
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace
from paceml_tui.fairness import lines

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fairlearn.metrics as fm
    import sklearn.metrics as sm

SMALL = (
    "estimator: lightgbm\nparams: {n_estimators: 20, num_leaves: 7}\nbootstrap: {resamples: 0}\n"
)
LIMITS = """\
fairness:
  by: [sex, age]
  positive: good
  bins: {age: [35]}
  limits: {demographic_parity_difference: 0.9, four_fifths: true, min_rows: 20}
"""


def trained(workspace: Workspace, name: str, text: str) -> str:
    path = workspace.root.parent / f"{name}.yaml"
    path.write_text(text)
    with mock.patch("local_stack.runs.pictures.draw"):  # most of the time, and not looked at here
        return str(call(workspace, "runs.train", {"recipe": str(path), "name": name}).run_id)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with a weighted run on people; read it, do not change it."""
    folder = tmp_path_factory.mktemp("people")
    people().write_csv(folder / "people.csv")
    with Workspace.create(folder / "ws", actor="tester") as workspace:
        source = {"name": "people", "source": str(folder / "people.csv"), "target": "outcome"}
        call(workspace, "data.add", source | {"sensitive": ["sex"]})
        head = "dataset: people\nsplit: {seed: 2, test: 0.4}\nweights: w\n"
        dropped = "features: [{drop: {columns: [sex]}}]\n"
        trained(workspace, "first", f"{head}{dropped}{SMALL}{LIMITS}")
        yield workspace


@pytest.fixture
def own(made: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of it to change."""
    made.close()
    shutil.copytree(made.root, tmp_path / "ws")
    with Workspace.open(tmp_path / "ws", actor="tester") as workspace:
        yield workspace


def held_out(workspace: Workspace, run: str, column: str) -> tuple[Any, np.ndarray, pl.DataFrame]:
    """Return the predictions that the run stored itself, the groups of their rows, and the rows."""
    row = workspace.get("runs", run)
    held = predictions.read(workspace, row["files"])
    assert not isinstance(held, str)
    data = row["datasets"][0]
    frame = versions.read(workspace, versions.find(workspace, f"{data['name']}@{data['digest']}"))
    return held, frame[column].cast(pl.String).to_numpy()[held.rows], frame[held.rows]


def latest(workspace: Workspace) -> str:
    return str(workspace.query("SELECT run_id FROM runs")[0]["run_id"])


def fair(workspace: Workspace, **arguments: Any) -> FairnessReport:
    found: FairnessReport = call(workspace, "explain.fairness", {"target": "latest"} | arguments)
    return found


@pytest.fixture
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the models of proxies out, which take most of the time."""
    monkeypatch.setattr("local_stack.explain.groups.report.proxies_of", lambda *_: None)


# ------------------------------------------------------------------ what is told


def test_a_weighted_run_equals_fairlearn_on_its_held_out_rows(own: Workspace) -> None:
    report = fair(own, by=["sex"], shap_rows=0)
    held, groups, frame = held_out(own, report.run_id, "sex")
    assert (report.rows, report.n_rows, report.is_weighted) == ("test", 200, True)
    assert report.weights == "w"
    shown = "\n".join(it.plain for it in lines(report.to_dict(), 100))
    assert "weighted, by column w;" in shown
    good = held.classes.index("good")
    (table,) = report.tables
    told = {it.name: it.value for it in table.disparities}
    for name in ("demographic_parity", "equalized_odds", "equal_opportunity"):
        for kind in ("difference", "ratio"):
            expected = getattr(fm, f"{name}_{kind}")(
                held.truth == good,
                held.predicted == good,
                sensitive_features=groups,
                sample_weight=frame["w"].to_numpy(),
            )
            assert told[f"{name}_{kind}"] == pytest.approx(expected, **EXACT)
    assert table.positive == "good"
    assert table.shap_gaps is None
    assert table.four_fifths is not None
    assert table.four_fifths.ratio == pytest.approx(told["demographic_parity_ratio"])


def test_shap_gaps_add_up_and_name_the_proxy(own: Workspace) -> None:
    report = fair(own, by=["sex"])
    (table,) = report.tables
    assert table.shap_gaps is not None
    assert table.shap_gaps.unit == "log-odds"
    assert (table.shap_gaps.n_rows, table.shap_gaps.is_sample) == (200, False)
    subject = subject_of(own, "latest")
    _, groups, frame = held_out(own, report.run_id, "sex")
    shap = subject.attributions(frame)
    weights = frame["w"].to_numpy().astype(float)
    inside = groups == "<b>f</b>"
    (women,) = [it for it in table.shap_gaps.groups if it.group == "<b>f</b>"]
    assert subject.model.classes == ("bad", "good")
    for it in women.columns:
        values = shap.values[:, shap.columns.index(it.feature), 0]
        expected = np.average(values[inside], weights=weights[inside]) - np.average(
            values[~inside], weights=weights[~inside]
        )
        assert it.gap == pytest.approx(expected, **EXACT)
        assert it.low < it.gap < it.high
    assert sum(it.gap for it in women.columns) == pytest.approx(women.difference, abs=1e-9)
    assert women.columns[0].feature == "income"
    assert women.columns[0].is_significant
    assert table.proxies is not None
    assert not table.proxies.is_input
    assert table.proxies.metric == "roc_auc"
    assert table.proxies.columns[0].column == "income"
    assert table.proxies.columns[0].score > 0.6
    shares = [it.importance_share for it in table.proxies.columns]
    assert sum(it for it in shares if it is not None) == pytest.approx(1)


@pytest.mark.usefixtures("without_proxies")
def test_the_first_class_is_the_second_with_the_other_sign(own: Workspace) -> None:
    good, bad = (fair(own, by=["sex"], positive=it).tables[0] for it in ("good", "bad"))
    assert good.shap_gaps is not None
    assert bad.shap_gaps is not None
    for one, other in zip(good.shap_gaps.groups, bad.shap_gaps.groups, strict=True):
        assert one.difference == pytest.approx(-other.difference)
        assert one.mean_score == pytest.approx(-other.mean_score)
        gaps = [{it.feature: it.gap for it in side.columns} for side in (one, other)]
        assert gaps[0] == pytest.approx({name: -gap for name, gap in gaps[1].items()})
        assert max(one.additivity_error, other.additivity_error) < 1e-9
    metrics = (good.overall.metrics, bad.overall.metrics)
    assert metrics[0]["selection_rate"] == pytest.approx(1 - metrics[1]["selection_rate"])
    assert metrics[0]["true_positive_rate"] == pytest.approx(metrics[1]["true_negative_rate"])
    assert metrics[0]["roc_auc"] == pytest.approx(metrics[1]["roc_auc"])


@pytest.mark.usefixtures("without_proxies")
def test_thresholds_bins_combinations_and_other_rows(own: Workspace) -> None:
    report = fair(own, by=["sex", "age"], intersect=True, bins=["age:40"], threshold=0.7)
    (table,) = report.tables
    assert table.by == "sex & age"
    assert {it.group for it in table.groups} == {
        f"{sex} & {age}" for sex in ("<b>f</b>", "m\x1b[2J") for age in ("up to 40", "over 40")
    }
    held, _, frame = held_out(own, report.run_id, "sex")
    selected = held.probability[:, held.classes.index("good")] >= 0.7
    weights = frame["w"].to_numpy().astype(float)
    expected = np.average(selected, weights=weights)
    assert table.overall.metrics["selection_rate"] == pytest.approx(expected)
    both = [frame["sex"].to_numpy(), np.where(frame["age"].to_numpy() > 40, "over 40", "up to 40")]
    by_both = fm.MetricFrame(
        metrics=fm.selection_rate,
        y_true=held.truth,
        y_pred=selected,
        sensitive_features=np.column_stack(both),
        sample_params={"sample_weight": weights},
    )
    for it in table.groups:
        rate = by_both.by_group[tuple(it.group.split(" & "))]
        assert it.metrics["selection_rate"] == pytest.approx(rate, **EXACT)
    assert table.proxies is None
    whole = fair(own, by=["age"], data="people", min_rows=400)
    assert whole.rows == "test"
    assert not whole.tables[0].disparities
    assert "fewer than 400 rows" in whole.notes[-1]
    other = people(100).with_columns(pl.lit("bad").alias("outcome"))
    other = pl.concat([other, people(300)]).with_columns(
        batch=pl.when(pl.int_range(pl.len()) < 100).then(pl.lit("first")).otherwise(pl.lit("rest"))
    )
    other.write_csv(own.root.parent / "later.csv")
    call(own, "data.add", {"name": "later", "source": str(own.root.parent / "later.csv")})
    later = fair(own, by=["sex"], data="later", shap_rows=150)
    assert (later.rows, later.n_rows) == ("other", 400)
    assert later.tables[0].shap_gaps is not None
    assert (later.tables[0].shap_gaps.n_rows, later.tables[0].shap_gaps.is_sample) == (150, True)
    batches = fair(own, by=["batch"], data="later", shap_rows=0)  # none of the first was good
    assert "true_positive_rate" not in batches.tables[0].groups[-1].metrics
    assert "1 of 2 groups has no row that is" in batches.notes[-1]


def test_what_is_asked_wrongly_ends_in_a_sentence(own: Workspace) -> None:
    for arguments, words in [
        ({"by": ["sez"]}, "no column 'sez'.*Did you mean 'sex'"),
        ({"by": ["outcome"]}, "is what is predicted"),
        ({"by": ["sex"], "positive": "god"}, "not a class of 'outcome'.*Did you mean 'good'"),
        ({"by": ["sex"], "threshold": 1.5}, "number from 0 to 1"),
        ({"by": ["sex"], "min_rows": 0}, "1 or more"),
        ({"by": ["sex"], "shap_rows": -1}, "0 or more"),
        ({"by": ["sex"], "bins": ["sex:1"]}, "holds no numbers"),
        ({"by": ["sex"], "bins": ["age:40"]}, "by which no groups are compared"),
        ({"by": ["age:40"]}, "has no column 'age:40'"),
        ({"by": ["sex"], "limit": ["four_fifth=true"]}, "Did you mean 'four_fifths'"),
        ({"by": ["sex"], "limit": ["mae_difference=3"]}, "is for a regression, and 'outcome'"),
        ({"by": ["sex"], "html": str(own.root)}, "holds the workspace"),
    ]:
        with pytest.raises(InputError, match=words):
            fair(own, **arguments)
    assert own.query("SELECT count(*) AS n FROM fairness") == [{"n": 0}]


# ------------------------------------------------------------------ gates


@pytest.mark.usefixtures("without_proxies")
def test_limits_of_the_recipe_are_gates(own: Workspace) -> None:
    run = latest(own)
    registry.register(own, "p", run)
    with pytest.raises(RefusedError, match="four_fifths by sex") as refused:
        registry.promote(own, "p", "1", "Staging")
    gates = {it.name: it for it in refused.value.result.gates}
    gate = gates["demographic_parity_difference by sex"]
    assert gate.observed == "not measured"
    assert f"paceml-tui explain fairness {run}" in refused.value.hint
    assert (gate.passed, gate.required) == (False, 0.9)
    for settings in (
        {"positive": "bad"},
        {"threshold": 0.01},
        {"min_rows": 150},
        {"intersect": True},
        {"bins": ["age:60"], "by": ["age"]},
    ):
        fair(own, shap_rows=0, **settings)
        with pytest.raises(RefusedError) as refused:
            registry.promote(own, "p", "1", "Staging")
        ages = [it for it in refused.value.result.gates if it.name.endswith("by age")]
        if settings != {"bins": ["age:60"], "by": ["age"]}:
            ages += [it for it in refused.value.result.gates if it.name.endswith("by sex")]
        assert "not measured" in str([it.observed for it in ages])
    report = fair(own, shap_rows=0)
    assert report.passed is False
    rows = own.metadata.find("fairness", run_id=run)
    known = {"run_id": run, **own.get("runs", run)}
    assert all("not" not in str(it[2]) for it in gates_of(own, known))
    own.append(
        lambda _: Draft("test", run, {}, [("fairness", {**it, "rows": "all"}) for it in rows])
    )
    assert all("not measured" in str(it[2]) for it in gates_of(own, known))
    whole = {**known, "recipe": {**known["recipe"], "split": {"test": 0.0}}}
    assert all("not" not in str(it[2]) for it in gates_of(own, whole))  # nothing was held out
    fair(own, shap_rows=0)
    with pytest.raises(RefusedError) as refused:
        registry.promote(own, "p", "1", "Staging")
    gates = {it.name: it for it in refused.value.result.gates}
    told = {it.name: it.value for it in report.tables[0].disparities}
    assert gates["demographic_parity_difference by sex"].passed
    assert gates["demographic_parity_difference by sex"].observed == pytest.approx(
        told["demographic_parity_difference"]
    )
    assert gates["four_fifths by sex"].observed is False
    asked = known["recipe"]["fairness"]  # of a number only, from before that was refused
    old = {**asked, "limits": {"mae_ratio": 0.1, "min_rows": 20}}
    of_old = gates_of(own, {**known, "recipe": {**known["recipe"], "fairness": old}})
    assert [it[:3] for it in of_old][:1] == [("mae_ratio by sex", False, None)]
    assert registry.promote(own, "p", "1", "Archived").gates == ()


@pytest.mark.usefixtures("without_proxies")
def test_a_limit_of_the_call_refuses_with_the_result(own: Workspace) -> None:
    limits = ["demographic_parity_difference=0.001", "equalized_odds_ratio=0"]
    with pytest.raises(RefusedError, match="1 of the limits is broken") as refused:
        fair(own, by=["sex"], limit=limits, shap_rows=0)
    assert refused.value.reason == "fairness_limit_broken"
    assert refused.value.exit_code == 4
    table = refused.value.result.tables[0]
    kept = {it.name: it.passed for it in table.limits}
    assert kept["equalized_odds_ratio"]
    assert not kept["demographic_parity_difference"]
    assert own.query("SELECT count(*) AS n FROM fairness") == [{"n": 1}]


# ------------------------------------------------------------------ records and the page


class _Reader(HTMLParser):
    """Collects tags with their attributes, and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_report_is_stored_and_drawn_on_a_page(own: Workspace, tmp_path: Path) -> None:
    page = tmp_path / "fair.html"
    report = fair(own, html=str(page))
    assert FILE in own.get("runs", report.run_id)["artifacts"]
    rows = own.metadata.find("fairness", run_id=report.run_id)
    assert [row["by"] for row in rows] in ([["age"], ["sex"]], [["sex"], ["age"]])
    stored = Blob.of(rows[0]["artifacts"][FILE])
    assert json.loads(own.artifacts.path(stored).read_bytes()) == report.to_dict()
    assert rows[0]["result"]["groups"][0]["metrics"]["selection_rate"] is not None
    text = page.read_text("utf-8")
    reader = _Reader()
    reader.feed(text)
    assert "http" not in text.replace("http-equiv", "")
    assert not {"script", "b", "img", "link"} & {tag for tag, _ in reader.tags}
    assert not [1 for _, found in reader.tags if {"src", "href", "style", "onload"} & found.keys()]
    assert "<b>f</b>" in "".join(reader.texts)
    assert "\x1b" not in text
    assert "Four-fifths rule" in text
    assert "Whether the probabilities hold in each group" in text
    again = fair(own, html=str(page))
    assert page.read_text("utf-8") == text
    assert again.tables == report.tables
    assert len(own.metadata.find("fairness", run_id=report.run_id)) == 2


def test_what_mlflow_does_not_take_is_recorded_all_the_same(own: Workspace, monkeypatch) -> None:
    before = own.query("SELECT created_at FROM fairness")
    away = mock.Mock(side_effect=UnavailableError("MLflow is away."))
    monkeypatch.setattr(type(own.tracking), "log_artifacts", away)
    assert fair(own, by=["sex"], shap_rows=0).notes[-1] == "MLflow is away."
    assert own.query("SELECT created_at FROM fairness") != before


def test_of_two_at_once_mlflow_keeps_what_was_recorded_last(own: Workspace, monkeypatch) -> None:
    run = fair(own, by=["sex"], shap_rows=0).run_id
    (file,) = (own.root / "mlruns").glob(f"*/{run}/artifacts/{FILE}")
    before, record = file.read_bytes(), measuring._record

    def overtaken(*given: Any) -> None:  # another process records its own right afterwards
        record(*given)
        record(*given[:-1], {**given[-1], "sha256": "0" * 64})

    monkeypatch.setattr(measuring, "_record", overtaken)
    fair(own, by=["sex"], shap_rows=0, min_rows=3)
    assert file.read_bytes() == before


# ------------------------------------------------------------------ real tables


def test_german_credit_and_titanic_equal_fairlearn(workspace: Workspace, shared_data: Path) -> None:
    """By columns the model does not see, with missing values, in one table of a data version."""
    credit = pl.read_csv(shared_data / "tabular" / "german_credit.csv")
    titanic = pl.read_csv(shared_data / "tabular" / "titanic.csv")
    place = workspace.root.parent
    for name, frame, target in (("credit", credit, "default"), ("titanic", titanic, "survived")):
        frame.write_csv(place / f"{name}.csv")
        source = {"name": name, "source": str(place / f"{name}.csv"), "target": target}
        call(workspace, "data.add", source)
    dropped = "features: [{drop: {columns: [sex]}}]\n"
    split = "split: {test: 0.4, seed: 1, stratify: true}\n"
    run = trained(workspace, "credit", f"dataset: credit\n{split}{dropped}{SMALL}")
    with pytest.raises(
        InputError, match=r"no sensitive column.*--by COLUMN .sex, personal _status,"
    ):
        fair(workspace, target=run)
    report = fair(workspace, target=run, by=["sex", "age"], positive="0", bins=["age:25,40"])
    sex, age = report.tables
    assert [it.group for it in age.groups] == ["up to 25", "over 25 to 40", "over 40"]
    held, groups, frame = held_out(workspace, run, "sex")
    ages = np.digitize(frame["age"].to_numpy(), [25, 40], right=True)
    equal_to_fairlearn(sex, held, groups, held.classes.index(0))
    equal_to_fairlearn(age, held, ages, held.classes.index(0))
    assert sex.proxies is not None
    assert sex.proxies.columns[0].column == "personal _status"
    assert sex.proxies.columns[0].score > 0.9
    hidden = "features: [{drop: {columns: [name, ticket, cabin]}}]\n"
    run = trained(workspace, "titanic", f"dataset: titanic\n{split}{hidden}{SMALL}")
    report = fair(workspace, target=run, by=["sex", "pclass", "cabin"], shap_rows=0)
    held, groups, frame = held_out(workspace, run, "sex")
    equal_to_fairlearn(report.tables[0], held, groups, 1)
    equal_to_fairlearn(report.tables[1], held, frame["pclass"].to_numpy(), 1)
    assert report.tables[0].proxies is not None
    assert report.tables[0].proxies.is_input
    missing = next(it for it in report.tables[2].groups if it.group == "(missing)")
    assert missing.n_rows == frame["cabin"].null_count()


def equal_to_fairlearn(table: Any, held: Any, groups: np.ndarray, positive: int) -> None:
    truth, said = held.truth == positive, held.predicted == positive
    told = {it.name: it.value for it in table.disparities}
    for name in ("demographic_parity", "equalized_odds", "equal_opportunity"):
        for kind in ("difference", "ratio"):
            function = getattr(fm, f"{name}_{kind}")
            expected = function(truth, said, sensitive_features=groups)
            assert told[f"{name}_{kind}"] == pytest.approx(expected, **EXACT)
    frame = fm.MetricFrame(
        metrics={"true_positive_rate": fm.true_positive_rate, "accuracy": sm.accuracy_score},
        y_true=truth,
        y_pred=said,
        sensitive_features=groups,
    )
    for metric in ("true_positive_rate", "accuracy"):
        mine = sorted(it.metrics[metric] for it in table.groups)
        assert mine == pytest.approx(sorted(frame.by_group[metric]), **EXACT)


@pytest.mark.usefixtures("without_proxies")
def test_wine_as_a_number_equals_fairlearn(workspace: Workspace, shared_data: Path) -> None:
    wine = pl.read_csv(shared_data / "tabular" / "wine-quality.csv").sample(900, seed=1)
    place = workspace.root.parent / "wine.csv"
    wine.write_csv(place)
    source = {"name": "wine", "source": str(place), "target": "quality"}
    call(workspace, "data.add", source)
    run = trained(workspace, "numbers", f"dataset: wine\ntask: regression\n{SMALL}")
    (table,) = fair(workspace, target=run, by=["alcohol"], shap_rows=0).tables
    held, _, frame = held_out(workspace, run, "alcohol")
    cuts = np.quantile(frame["alcohol"].to_numpy(), [0.25, 0.5, 0.75], method="inverted_cdf")
    groups = np.digitize(frame["alcohol"].to_numpy(), cuts, right=True)
    by_group = fm.MetricFrame(
        metrics={"mae": sm.mean_absolute_error, "r2": sm.r2_score},
        y_true=held.truth,
        y_pred=held.predicted,
        sensitive_features=groups,
    )
    for metric in ("mae", "r2"):
        mine = [it.metrics[metric] for it in table.groups]
        assert mine == pytest.approx(by_group.by_group[metric].tolist(), **EXACT)
    told = {it.name: it.value for it in table.disparities}
    assert told["mae_difference"] == pytest.approx(by_group.difference()["mae"], **EXACT)
    assert table.positive is None
    assert table.thresholds is None
    with pytest.raises(InputError, match="--positive is for a classification"):
        fair(workspace, target=run, by=["alcohol"], positive="6")


@pytest.mark.slow
def test_each_of_several_classes_equals_fairlearn(workspace: Workspace, shared_data: Path) -> None:
    wine = pl.read_csv(shared_data / "tabular" / "wine-quality.csv").sample(900, seed=1)
    place = workspace.root.parent / "wine.csv"
    source = {"name": "wine", "source": str(place), "target": "quality"}
    graded = wine.with_columns(pl.col("quality").clip(5, 7))
    graded.write_csv(place)
    call(workspace, "data.add", source)
    run = trained(workspace, "classes", f"dataset: wine\ntask: classification\n{SMALL}")
    report = fair(workspace, target=run, by=["alcohol"])
    assert [it.positive for it in report.tables] == ["5", "6", "7"]
    held, _, frame = held_out(workspace, run, "alcohol")
    groups = np.digitize(
        frame["alcohol"].to_numpy(),
        np.quantile(frame["alcohol"].to_numpy(), [0.25, 0.5, 0.75], method="inverted_cdf"),
        right=True,
    )
    for place_of, table in enumerate(report.tables):
        told = {it.name: it.value for it in table.disparities}
        expected = fm.demographic_parity_difference(
            held.truth == place_of, held.predicted == place_of, sensitive_features=groups
        )
        assert told["demographic_parity_difference"] == pytest.approx(expected, **EXACT)
        assert table.shap_gaps is not None
        for it in table.shap_gaps.groups:
            assert it.additivity_error < 1e-9
