"""The sample tables equal what generate.py writes, and keep what sample_data/README.md says."""

from __future__ import annotations

import importlib.util
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from local_stack.data.contracts import read_contract, verdicts
from local_stack.preparation.fitting import fit_preparation
from local_stack.runs.recipe import load_recipe

SAMPLES = Path(__file__).parents[2] / "sample_data"
TABLES = {
    "wine": ["wine.csv"],
    "breast_cancer": ["breast_cancer.csv"],
    "diabetes": ["diabetes.csv"],
    "loans": ["loans_2024.csv", "loans_2025.csv"],
}
FILES = [(name, file) for name, files in TABLES.items() for file in files]


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_generate", SAMPLES / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return _generator()


@pytest.fixture(scope="module")
def loans() -> pl.DataFrame:
    return pl.concat([_table("loans_2024.csv"), _table("loans_2025.csv")])


def _table(file: str) -> pl.DataFrame:
    return pl.read_csv(SAMPLES / file, try_parse_dates=True, infer_schema_length=None)


def test_the_generator_writes_the_committed_tables_bit_for_bit(
    generate: ModuleType, tmp_path: Path
) -> None:
    generate.main(tmp_path)

    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in SAMPLES.glob("*.csv")}


def test_the_tables_are_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.glob("*.csv")) < 4_000_000


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_its_three_files_and_a_place_in_the_readme(name: str) -> None:
    readme = (SAMPLES / "README.md").read_text()
    for file in (*TABLES[name], f"{name}-recipe.yaml", f"{name}-contract.yaml"):
        assert (SAMPLES / file).is_file()
    assert (SAMPLES / f"{name}-pipeline.yaml").is_file()
    assert f"sample_data/{name}-pipeline.yaml" in readme
    assert all(file in readme for file in TABLES[name])


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_table_keeps_its_contract_and_the_contract_names_every_column(
    name: str, file: str
) -> None:
    document, frame = read_contract(SAMPLES / f"{name}-contract.yaml"), _table(file)

    failed = [check for check in verdicts(document, frame) if not check.passed]

    assert failed == []
    assert list(document["columns"]) == frame.columns


@pytest.mark.parametrize("name", TABLES)
def test_a_broken_table_breaks_its_contract(name: str) -> None:
    document = read_contract(SAMPLES / f"{name}-contract.yaml")
    frame = _table(TABLES[name][0])
    number = next(
        column
        for column, rules in document["columns"].items()
        if isinstance(rules.get("max"), int | float)
    )
    broken = frame.with_columns(pl.lit(10**9).cast(frame.schema[number]).alias(number))

    codes = {check.code for check in verdicts(document, broken) if not check.passed}

    assert "max" in codes


@pytest.mark.parametrize("name", TABLES)
def test_a_recipe_fits_its_table(name: str) -> None:
    recipe = load_recipe(SAMPLES / f"{name}-recipe.yaml")
    frame = _table(TABLES[name][0])
    is_booster = recipe.estimator == "lightgbm"
    assert recipe.target is not None

    preparation = fit_preparation(frame, recipe.target, recipe.features, native_strings=is_booster)

    assert recipe.params.get("n_estimators", 0) <= 200
    assert recipe.params.get("num_leaves", 0) <= 31
    leaks = {"loan_id", "default_known_at", recipe.target}
    assert not leaks & {feature.column for feature in preparation.features}


def test_there_are_twelve_thousand_loans_a_year_in_order_of_date(loans: pl.DataFrame) -> None:
    years = loans["application_date"].dt.year()

    assert years.value_counts(sort=True).to_dict(as_series=False) == {
        "application_date": [2024, 2025],
        "count": [12_000, 12_000],
    }
    assert loans["application_date"].is_sorted()
    assert loans["loan_id"].to_list() == list(range(100_001, 124_001))


def test_labels_come_after_ninety_days_and_late_ones_are_empty(loans: pl.DataFrame) -> None:
    due = loans["application_date"] + timedelta(days=90)
    is_known = due <= date(2025, 12, 31)

    assert loans["default"].is_not_null().equals(is_known)
    assert loans["default_known_at"].equals(due.set(~is_known, None), null_equal=True)
    assert 0.2 < 1 - is_known.tail(12_000).mean() < 0.3
    assert is_known.head(12_000).all()


def test_values_are_missing_where_the_readme_says(loans: pl.DataFrame) -> None:
    holes = {c: n for c, n in loans.null_count().row(0, named=True).items() if n}
    assert set(holes) == {
        "income",
        "credit_score",
        "employment_years",
        "default",
        "default_known_at",
    }
    assert _missing(loans, "income") == pytest.approx(0.03, abs=0.005)
    for channel, share in {"branch": 0.01, "online": 0.04, "broker": 0.12}.items():
        part = loans.filter(pl.col("channel") == channel)
        assert _missing(part, "credit_score") == pytest.approx(share, abs=0.015)
        assert _missing(part, "income") == pytest.approx(0.03, abs=0.01)
    for employment, share in {"self_employed": 0.25, "salaried": 0.02, "retired": 0.02}.items():
        part = loans.filter(pl.col("employment") == employment)
        assert _missing(part, "employment_years") == pytest.approx(share, abs=0.02)


def _missing(frame: pl.DataFrame, column: str) -> float:
    return frame[column].null_count() / frame.height


def test_applications_move_to_the_web_on_the_first_of_july_2024(loans: pl.DataFrame) -> None:
    before, after = _around(loans, date(2024, 7, 1))

    for channel, shares in {
        "branch": (0.55, 0.25),
        "online": (0.30, 0.60),
        "broker": (0.15, 0.15),
    }.items():
        seen = [(part["channel"] == channel).mean() for part in (before, after)]
        assert seen == pytest.approx(shares, abs=0.04)


def test_money_inflates_on_the_fifteenth_of_january_2025(loans: pl.DataFrame) -> None:
    before, after = _around(loans, date(2025, 1, 15))

    assert _median(after, "income") / _median(before, "income") == pytest.approx(1.15, abs=0.05)
    assert _median(after, "amount") / _median(before, "amount") == pytest.approx(1.15, abs=0.09)
    assert _median(after, "rate") - _median(before, "rate") == pytest.approx(1.25, abs=0.12)
    assert after["term"].mean() - before["term"].mean() == pytest.approx(7, abs=1)


def test_the_bureau_counts_differently_from_the_first_of_february_2025(
    loans: pl.DataFrame,
) -> None:
    before, after = _around(loans, date(2025, 2, 1))

    risen = {c: after[c].mean() - before[c].mean() for c in ("credit_score", "n_open_accounts")}

    assert risen == pytest.approx({"credit_score": 30, "n_open_accounts": 2}, abs=5)
    assert risen["n_open_accounts"] == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("column", ["age", "employment_years", "debt_to_income"])
def test_other_numbers_keep_their_distribution(loans: pl.DataFrame, column: str) -> None:
    from scipy.stats import ks_2samp

    first, second = (loans[column].slice(start, 12_000).drop_nulls() for start in (0, 12_000))

    assert ks_2samp(first.to_numpy(), second.to_numpy()).statistic < 0.03


def _around(loans: pl.DataFrame, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the loans of the 120 days before ``day`` and of the 120 days from it on."""
    when, span = loans["application_date"], timedelta(days=120)
    return (
        loans.filter((when >= day - span) & (when < day)),
        loans.filter((when >= day) & (when < day + span)),
    )


def _median(frame: pl.DataFrame, column: str) -> Any:
    return frame[column].median()


def test_debt_hardly_weighs_from_march_2025(loans: pl.DataFrame) -> None:
    known = loans.drop_nulls(["default", "income", "credit_score", "employment_years"])
    day = date(2025, 3, 1)

    before = _effect_of_debt(known.filter(pl.col("application_date") < day))
    after = _effect_of_debt(known.filter(pl.col("application_date") >= day))

    assert before == pytest.approx(6.0, abs=0.8)
    assert after == pytest.approx(0.5, abs=0.8)


def _effect_of_debt(frame: pl.DataFrame) -> float:
    """Return the coefficient of debt_to_income in a logistic regression on the true drivers."""
    from sklearn.linear_model import LogisticRegression

    burden = (pl.col("amount") / pl.col("income") + 0.02).log()
    drivers = frame.select(
        "debt_to_income",
        pl.col("credit_score") / 65,
        burden.alias("burden"),
        pl.col("term") / 12,
        "n_open_accounts",
        pl.col("employment_years") / 10,
    )
    words = frame.select("employment", "purpose", "channel").to_dummies(drop_first=True)
    features = pl.concat([drivers, words], how="horizontal").to_numpy()
    model = LogisticRegression(C=1e4, max_iter=5_000).fit(features, frame["default"].to_numpy())
    return float(model.coef_[0][0])


def test_defaults_can_be_learnt_and_the_model_ages(loans: pl.DataFrame) -> None:
    from lightgbm import LGBMClassifier
    from sklearn.metrics import roc_auc_score

    known = loans.drop_nulls("default").with_columns(pl.col(pl.String).cast(pl.Categorical))
    drivers = known.drop("loan_id", "application_date", "default", "default_known_at")
    x = drivers.with_columns(pl.col(pl.Categorical).to_physical()).to_numpy()
    y, when = known["default"].to_numpy(), known["application_date"]
    train = (when < date(2024, 10, 1)).to_numpy()
    fresh = ((when >= date(2024, 10, 1)) & (when < date(2025, 1, 1))).to_numpy()
    aged = (when >= date(2025, 3, 1)).to_numpy()

    model = LGBMClassifier(
        n_estimators=100, num_leaves=15, learning_rate=0.05, n_jobs=1, verbose=-1
    )
    scores = model.fit(x[train], y[train]).booster_.predict(x)

    assert 0.70 < roc_auc_score(y[fresh], scores[fresh]) < 0.82
    assert roc_auc_score(y[aged], scores[aged]) < roc_auc_score(y[fresh], scores[fresh]) - 0.03
