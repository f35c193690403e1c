"""Every measure of a comparison is the sum of its parts: base, columns, threshold, residual."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from explained_kit import BOOSTER, LATER, add_model, lender, loans, model_of, trained

from local_stack import catalog
from local_stack.data import versions
from local_stack.errors import InputError
from local_stack.evaluation import calibration
from local_stack.explain.contrasting.parts import Comparison
from local_stack.explain.contrasting.shifting import resampled
from local_stack.explain.subject import subject_of
from local_stack.preparation.table import raw_columns
from local_stack.workspace import Workspace

__all__ = ["lender"]


@pytest.fixture(scope="module")
def rules(lender: Workspace) -> Workspace:
    """The model ``rules``: 1 decides from 0.5 on, 2 is the same from 0.2 on, 3 is the same but
    isotonic and decides from 0.35 on, 4 is logistic and decides from 0.7 on."""
    boosted, logistic = model_of(lender, 1), model_of(lender, 2)
    said = boosted.probabilities(boosted.matrix(raw_columns(LATER, boosted.inputs)))
    truth = (LATER["repaid"] == "yes").to_numpy().astype(int)
    isotonic = calibration.fit("isotonic", said, truth, 2)
    models = (
        boosted,
        boosted.deciding(None, 0.2),
        boosted.deciding(isotonic, 0.35),
        logistic.deciding(None, 0.7),
    )
    add_model(lender, "rules", versions.find(lender, "loans@then").reference, *models)
    return lender


def compare(workspace: Workspace, target: str, **options: str) -> Comparison:
    return catalog.call(workspace, "explain.compare", {"target": target, **options})


def check_sums(found: Comparison) -> None:
    for outcome in found.outcomes:
        columns = sum(it.by_measure[outcome.measure] for it in found.columns)
        assert outcome.difference == outcome.b - outcome.a
        parts = outcome.base_difference + columns + outcome.threshold_difference
        assert parts + outcome.residual == pytest.approx(outcome.difference, abs=1e-12)
        assert abs(outcome.residual) < 1e-9
        if outcome.measure != "decisions":
            assert outcome.threshold_difference == 0
            assert (outcome.threshold_a, outcome.threshold_b) == (None, None)
    main = found.outcomes[0]
    assert (main.base_difference, main.residual) == (found.base_difference, found.residual)


def test_a_threshold_that_moved_is_the_whole_difference_of_the_same_model(
    rules: Workspace,
) -> None:
    found = compare(rules, "rules/1", other="rules/2")
    check_sums(found)
    subject = subject_of(rules, "rules/1", "loans@then")
    odds = subject.model.probabilities(subject.matrix(subject.frame))[:, 1]
    moved = (odds >= 0.2).mean() - (odds > 0.5).mean()
    decisions = next(it for it in found.outcomes if it.measure == "decisions")
    assert moved > 0.05
    assert decisions.difference == pytest.approx(moved, abs=1e-12)
    assert decisions.threshold_difference == pytest.approx(moved, abs=1e-12)
    assert (decisions.threshold_a, decisions.threshold_b) == (0.5, 0.2)
    assert decisions.base_difference == 0
    assert all(it.by_measure["decisions"] == 0 for it in found.columns)
    assert found.rows == ()
    said = f"The threshold moved from 0.5 to 0.2: {100 * moved:+.1f} points of the decisions"
    assert any(it.startswith(said) for it in found.sentences)
    other = compare(rules, "rules/1", other="rules/2", output="no")
    check_sums(other)
    turned = next(it for it in other.outcomes if it.measure == "decisions")
    assert (turned.threshold_a, turned.threshold_b) == (0.5, 0.8)
    assert turned.threshold_difference == pytest.approx(-moved, abs=1e-12)


def test_parts_of_decisions_are_means_over_both_thresholds(rules: Workspace) -> None:
    """Against the definition, in loops: each threshold in turn for both models."""
    found = compare(rules, "rules/3", other="rules/4")
    check_sums(found)
    sides = []
    for number in (3, 4):
        subject = subject_of(rules, f"rules/{number}", "loans@then")
        matrix = subject.matrix(subject.frame)
        shap = subject.explainer.attribute(matrix, "probability")
        odds = subject.model.probabilities(matrix)[:, 1]
        sides.append((shap.columns, shap.values[:, :, 0], float(shap.base[0]), odds))
    cuts = (0.35, 0.7)
    shares = [[(odds >= cut).mean() for cut in cuts] for *_, odds in sides]
    by_threshold = (shares[0][1] - shares[0][0] + shares[1][1] - shares[1][0]) / 2
    decisions = next(it for it in found.outcomes if it.measure == "decisions")
    assert (decisions.a, decisions.b) == pytest.approx((shares[0][0], shares[1][1]), abs=1e-12)
    assert decisions.threshold_difference == pytest.approx(by_threshold, abs=1e-12)
    added = dict.fromkeys(sides[0][0], 0.0)
    base = 0.0
    for cut, (sign, (columns, values, start, odds)) in itertools.product(
        cuts, zip((-1, 1), sides, strict=True)
    ):
        base += sign * (start >= cut) / 2
        orders = list(itertools.permutations(range(len(columns))))
        for order in orders:  # Shapley values of whether base and columns reach the cut
            before = np.full(len(odds), start)
            for place in order:
                after = before + values[:, place]
                least = cut - 1e-12  # isotonic calibration predicts the cut itself for some rows
                gain = ((after >= least).astype(float) - (before >= least)).mean()
                added[columns[place]] += sign * gain / len(orders) / 2
                before = after
    assert decisions.base_difference == pytest.approx(base, abs=1e-12)
    told = {it.feature: it.by_measure["decisions"] for it in found.columns}
    assert told == pytest.approx(added, abs=1e-9)


@pytest.mark.parametrize(
    "case",
    [
        {"target": "rules/2", "other": "rules/3", "output": "no"},
        {"target": "rules/3", "against": "loans@later"},
        pytest.param(
            {"target": "rules/4", "other": "rules/1", "unit": "log-odds"}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"target": "rules/2", "by": "kind", "a": "house", "unit": "log-odds"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_every_measure_is_the_sum_of_its_parts(rules: Workspace, case: dict[str, str]) -> None:
    found = compare(rules, **case)
    check_sums(found)
    has_moved = any(it.startswith("The threshold moved") for it in found.sentences)
    assert has_moved == (found.kind == "models")


def test_swapped_sides_have_the_same_intervals_with_the_other_sign() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(60, 3)), rng.normal(size=(45, 3))
    there, back = (resampled(it, it, is_paired=False) for it in ((a, b), (b, a)))
    for name in ("differences", "outcomes", "ranks"):
        one, other = getattr(there, name), getattr(back, name)
        assert one == pytest.approx(-other[:, ::-1], abs=1e-12)


def test_intervals_of_unpaired_sides_are_as_wide_as_their_errors() -> None:
    """Two draws share their seeds, not their rows: the variance is the sum of both."""
    rng = np.random.default_rng(5)
    x = np.sort(rng.normal(size=(400, 1)), axis=0)  # rows in the same order on both sides
    found = resampled((x, x), (x, x), is_paired=False)
    low, high = found.differences[0]
    wanted = 1.96 * np.sqrt(2 * x.var() / 400)
    assert high == pytest.approx(wanted, rel=0.12)
    assert low == pytest.approx(-high, abs=1e-12)


def test_models_of_other_cost_are_compared_on_the_same_rows(
    rules: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local_stack.explain.contrasting import sides

    def rows(subject: object, *_: object) -> int:
        return 60 if "Logistic" in str(subject.model.record.estimator) else 5_000

    monkeypatch.setattr(sides, "rows_to_explain", rows)
    found = compare(rules, "rules/1", other="rules/4")
    assert (found.a.n_rows, found.b.n_rows) == (60, 60)
    assert "a sample of 60 of 400 rows" in found.notes[0]


@pytest.mark.slow
def test_models_of_other_columns_say_on_which_data_both_can_be_explained(
    rules: Workspace, tmp_path: Path
) -> None:
    wider = loans().with_columns(zz=pl.int_range(pl.len()))
    wider.write_parquet(tmp_path / "wider.parquet")
    source = {"name": "wider", "source": str(tmp_path / "wider.parquet")}
    reference = catalog.call(rules, "data.add", source).reference
    add_model(rules, "wider", reference, trained(wider, BOOSTER))
    with pytest.raises(InputError, match="no column 'zz', which wider/1 needs") as caught:
        compare(rules, "rules/1", other="wider/1")
    assert caught.value.hint.endswith(f"--data {reference}")
    with pytest.raises(InputError, match="no column 'zz', which wider/1 needs"):
        compare(rules, "wider/1", against="loans@later")


def test_numbers_that_one_side_lacks_are_missing_numbers(lender: Workspace, tmp_path: Path) -> None:
    LATER.drop("debt").write_parquet(tmp_path / "bare.parquet")
    catalog.call(lender, "data.add", {"name": "bare", "source": str(tmp_path / "bare.parquet")})
    found = compare(lender, "loans/1", against="bare")
    check_sums(found)
    debt = next(it for it in found.columns if it.feature == "debt")
    assert debt.values
    assert all(" to " in it.value or it.value == "missing" for it in debt.values)
