"""Directions of metrics: every name of the table, and what libraries make of them."""

from __future__ import annotations

import pytest
from sklearn.metrics import get_scorer, get_scorer_names

from local_stack.errors import InputError
from local_stack.runs.comparison.directions import HIGHER, LOWER, direction


def test_the_table_says_one_thing_of_each_name() -> None:
    assert HIGHER.isdisjoint(LOWER)
    assert {direction(name) for name in HIGHER} == {"higher"}
    assert {direction(name) for name in LOWER} == {"lower"}


@pytest.mark.parametrize("name", get_scorer_names())
def test_every_scorer_of_scikit_learn_is_better_higher(name: str) -> None:
    """Scikit-learn turns losses around (``neg_``) so that greater is always better."""
    assert get_scorer(name) is not None
    assert direction(name) == direction(f"weighted_{name}") == "higher"
    if name.startswith("neg_"):
        assert direction(name) == "higher"
        assert direction(name.removeprefix("neg_")) in ("lower", "unknown")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("val_log_loss", "lower"),
        ("valid_0-binary_logloss", "lower"),
        ("validation/ROC_AUC", "higher"),
        ("testAccuracy", "higher"),
        ("ndcg@5", "higher"),
        ("R2", "higher"),
        ("training_mean_squared_error", "lower"),
        ("train_loss_epoch", "lower"),
        ("rmse_std", "unknown"),
        ("explained_variance", "higher"),
        ("loss_or_accuracy", "unknown"),
        ("epoch", "unknown"),
        ("", "unknown"),
        ("x" * 10_000, "unknown"),
        ("моя_метрика", "unknown"),
    ],
)
def test_names_that_libraries_log(name: str, wanted: str) -> None:
    assert direction(name) == wanted


def test_the_caller_knows_better() -> None:
    assert direction("profit", higher=["profit"]) == "higher"
    assert direction("rmse", higher=["rmse"]) == "higher"
    assert direction("cost", lower=["cost"]) == "lower"
    with pytest.raises(InputError, match="both higher and lower"):
        direction("cost", higher=["cost"], lower=["cost"])
