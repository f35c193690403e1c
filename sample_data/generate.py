"""Write every sample table again, bit for bit: ``python generate.py [FOLDER]``.

The small tables are scikit-learn's own copies. The loans are drawn here from a seeded generator
with documented drift, missing values and late labels; README.md tells what is where. Only
uniform draws are used, the part of NumPy's generator whose stream does not change with its
version, and every number is rounded far above the last bit in which machines differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

SEED = 20240101
N_PER_YEAR = 12_000
FIRST_DAY = date(2024, 1, 1)
LABEL_DELAY_DAYS = 90
SNAPSHOT_DAY = date(2025, 12, 31)
"""The day on which loans_2025.csv was taken: labels that come later are empty."""

CHANNEL_SHIFT_DAY = date(2024, 7, 1)
"""Covariate shift: applications move from the branches to the web."""
INFLATION_DAY = date(2025, 1, 15)
"""Covariate shift: incomes and amounts rise by INFLATION, rates by RATE_RISE points, terms grow."""
BUREAU_DAY = date(2025, 2, 1)
"""Covariate shift: the credit bureau counts differently, about people who are the same."""
CONCEPT_DRIFT_DAY = date(2025, 3, 1)
"""Concept drift: a debt-relief scheme takes most of its effect from debt_to_income."""

INFLATION = 1.15
RATE_RISE = 1.25
SCORE_RISE, ACCOUNTS_RISE = 30, 2
DTI_BEFORE, DTI_AFTER = 6.0, 0.5

CHANNELS_BEFORE = {"branch": 0.55, "online": 0.30, "broker": 0.15}
CHANNELS_AFTER = {"branch": 0.25, "online": 0.60, "broker": 0.15}
PURPOSES = {
    "car": 0.30,
    "home_improvement": 0.25,
    "debt_consolidation": 0.25,
    "education": 0.10,
    "business": 0.10,
}
REGIONS = {"north": 0.28, "south": 0.24, "east": 0.18, "west": 0.18, "capital": 0.12}
WORKING = {"salaried": 0.74, "self_employed": 0.19, "unemployed": 0.07}
TERMS = np.array([12, 24, 36, 48, 60])

INCOME_MISSING = 0.03
"""Missing completely at random."""
CREDIT_SCORE_MISSING = {"branch": 0.01, "online": 0.04, "broker": 0.12}
"""Missing by channel: brokers often send no score."""
EMPLOYMENT_YEARS_MISSING = {
    "salaried": 0.02,
    "self_employed": 0.25,
    "unemployed": 0.02,
    "retired": 0.02,
    "student": 0.02,
}
"""Missing by employment: the self-employed often have no date to give."""

Columns = dict[str, Any]
"""Arrays of one length by column name; NaN, NaT and '' are written as empty fields."""


def main(folder: Path) -> None:
    """Write every table into ``folder``."""
    for name, columns in tables().items():
        path = folder / name
        path.write_bytes(csv_bytes(columns))
        sys.stdout.write(f"{path}: {len(next(iter(columns.values())))} rows\n")


def tables() -> dict[str, Columns]:
    """Return the columns of every table by file name."""
    first, second = loans()
    return {
        "wine.csv": wine(),
        "breast_cancer.csv": breast_cancer(),
        "diabetes.csv": diabetes(),
        "loans_2024.csv": first,
        "loans_2025.csv": second,
    }


def csv_bytes(columns: Columns) -> bytes:
    """Return ``columns`` as UTF-8 CSV: a header, Unix line ends, nothing that needs quotes."""
    texts = [[_text(value) for value in column.tolist()] for column in columns.values()]
    lines = [",".join(columns), *map(",".join, zip(*texts, strict=True))]
    return ("\n".join(lines) + "\n").encode()


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)  # NaN differs from itself


def wine() -> Columns:
    """Return 178 wines: 13 measurements and the target ``cultivar``."""
    from sklearn.datasets import load_wine

    bunch = load_wine()
    return _measured(bunch.feature_names, bunch.data) | {
        "cultivar": bunch.target_names[bunch.target]
    }


def breast_cancer() -> Columns:
    """Return 569 tumours: 30 measurements and the target ``malignant`` (1 yes, 0 no)."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    return _measured(bunch.feature_names, bunch.data) | {"malignant": 1 - bunch.target}


def diabetes() -> Columns:
    """Return 442 patients in the original units and the target ``progression``."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    names = ("age", "sex", "bmi", "bp", "tc", "ldl", "hdl", "tch", "ltg", "glu")
    columns = _measured(names, bunch.data) | {"progression": bunch.target.astype(int)}
    return columns | {name: columns[name].astype(int) for name in ("age", "sex")}


def _measured(names: Iterable[str], data: Any) -> Columns:
    return {
        name.replace(" ", "_").replace("/", "_"): np.asarray(column, dtype=float)
        for name, column in zip(names, data.T, strict=True)
    }


def loans() -> tuple[Columns, Columns]:
    """Return the loan applications of 2024 and of 2025, each in order of their dates."""
    rng = np.random.default_rng(SEED)
    days = _days(rng)
    who = _applicants(rng, days)
    loan = _terms(rng, days, who)
    is_default = rng.random(len(days)) < _chance(days, who | loan)
    reported = _recounted(days, who | loan)
    columns = {
        "loan_id": 100_001 + np.arange(len(days)),
        "application_date": _dates(days),
        **_with_gaps(rng, reported),
        **_labels(days, is_default),
    }
    return (
        {name: column[:N_PER_YEAR] for name, column in columns.items()},
        {name: column[N_PER_YEAR:] for name, column in columns.items()},
    )


def _days(rng: np.random.Generator) -> Any:
    """Return days since FIRST_DAY, ascending, N_PER_YEAR in each year."""
    first = np.floor(rng.random(N_PER_YEAR) * 366)
    second = 366 + np.floor(rng.random(N_PER_YEAR) * 365)
    return np.sort(np.concatenate([first, second])).astype(int)


def _since(days: Any, moment: date) -> Any:
    return days >= (moment - FIRST_DAY).days


def _dates(days: Any) -> Any:
    """Return ISO dates of ``days`` since FIRST_DAY."""
    calendar = [(FIRST_DAY + timedelta(days=day)).isoformat() for day in range(days.max() + 1)]
    return np.array(calendar, dtype=object)[days]


def _applicants(rng: np.random.Generator, days: Any) -> Columns:
    """Return who applies, where and how: what is known before the loan is priced."""
    n = len(days)
    channel = np.where(
        _since(days, CHANNEL_SHIFT_DAY),
        _pick(rng, n, CHANNELS_AFTER),
        _pick(rng, n, CHANNELS_BEFORE),
    )
    region = _pick(rng, n, REGIONS)
    age = np.clip(np.floor(41 + 13 * _normal(rng, n)), 19, 79).astype(int)
    employment = _employment(rng, age)
    standing = _normal(rng, n)
    inflation = np.where(_since(days, INFLATION_DAY), INFLATION, 1.0)
    income = _level(employment) * np.where(region == "capital", 1.2, 1.0) * inflation
    score = 655 + 22 * standing + 0.8 * (age - 41) + 62 * _normal(rng, n)
    years = rng.random(n) ** 1.5 * np.clip(age - 18, 1, 40)
    return {
        "channel": channel,
        "region": region,
        "age": age,
        "employment": employment,
        "employment_years": np.round(years, 1),
        "income": np.round(income * np.exp(0.38 * standing), -1),
        "credit_score": np.round(np.clip(score - 10 * (channel == "online"), 300, 850)),
    }


def _employment(rng: np.random.Generator, age: Any) -> Any:
    working = _pick(rng, len(age), WORKING)
    chance = rng.random(len(age))
    is_student = (age < 26) & (chance < 0.45)
    is_retired = (age >= 66) | ((age >= 60) & (chance < 0.5))
    return np.where(is_student, "student", np.where(is_retired, "retired", working))


def _level(employment: Any) -> Any:
    """Return the median yearly income of each employment, before inflation."""
    levels = {
        "salaried": 39_000,
        "self_employed": 36_000,
        "unemployed": 15_000,
        "retired": 24_000,
        "student": 13_000,
    }
    return _by(levels, employment)


def _terms(rng: np.random.Generator, days: Any, who: Columns) -> Columns:
    """Return what is asked for and how it is priced."""
    n = len(days)
    purpose = _pick(rng, n, PURPOSES)
    share = 0.08 + 0.55 * rng.random(n) ** 1.3
    size = {"car": 1.1, "home_improvement": 1.2, "education": 0.6, "business": 1.5}
    amount = np.clip(who["income"] * share * _by(size, purpose, 1.0), 1_000, 75_000)
    is_inflated = _since(days, INFLATION_DAY)
    wish = np.log(amount / 1_000) / 4.4 + 0.22 * _normal(rng, n) + 0.12 * is_inflated
    term = TERMS[np.clip(np.floor(wish * 5), 0, 4).astype(int)]
    dti = 0.31 + 0.05 * (purpose == "debt_consolidation") + 0.11 * _normal(rng, n)
    rate = 7.5 + 0.014 * (655 - who["credit_score"]) + 0.02 * (term - 36)
    rate = rate + 0.7 * _normal(rng, n) + RATE_RISE * is_inflated
    return {
        "purpose": purpose,
        "amount": np.round(amount, -2),
        "term": term,
        "debt_to_income": np.round(np.clip(dti, 0.02, 0.85), 3),
        "rate": np.round(np.clip(rate, 1.9, 19.9), 2),
        "n_open_accounts": np.floor(9 * rng.random(n) ** 1.4).astype(int),
    }


def _chance(days: Any, row: Columns) -> Any:
    """Return the true probability of default of each row."""
    dti_effect = np.where(_since(days, CONCEPT_DRIFT_DAY), DTI_AFTER, DTI_BEFORE)
    burden = np.log(row["amount"] / row["income"] + 0.02)
    logit = (
        -1.95
        - 0.95 * (row["credit_score"] - 655) / 65
        + dti_effect * (row["debt_to_income"] - 0.32)
        + 0.45 * (burden + 1.2)
        + 0.012 * (row["term"] - 36)
        + 0.06 * (row["n_open_accounts"] - 4)
        - 0.025 * (row["employment_years"] - 8)
        + _by({"unemployed": 0.9, "student": 0.4, "self_employed": 0.35}, row["employment"])
        + _by({"business": 0.6, "debt_consolidation": 0.2}, row["purpose"])
        + _by({"broker": 0.3, "online": 0.15}, row["channel"])
    )
    return 1 / (1 + np.exp(-logit))


def _recounted(days: Any, columns: Columns) -> Columns:
    """Return ``columns`` as the credit bureau reports them."""
    is_new = _since(days, BUREAU_DAY)
    return columns | {
        "credit_score": np.clip(columns["credit_score"] + SCORE_RISE * is_new, 300, 850),
        "n_open_accounts": columns["n_open_accounts"] + ACCOUNTS_RISE * is_new,
    }


def _with_gaps(rng: np.random.Generator, columns: Columns) -> Columns:
    """Return ``columns`` with the documented values taken out."""
    n = len(columns["income"])
    gaps = {
        "income": INCOME_MISSING,
        "credit_score": _by(CREDIT_SCORE_MISSING, columns["channel"]),
        "employment_years": _by(EMPLOYMENT_YEARS_MISSING, columns["employment"]),
    }
    holes = {name: rng.random(n) < share for name, share in gaps.items()}
    whole = ("income", "credit_score", "amount")  # written without a decimal point
    return {
        name: _pierced(column.astype(int) if name in whole else column, holes.get(name))
        for name, column in columns.items()
    }


def _pierced(column: Any, holes: Any) -> Any:
    return column if holes is None else np.where(holes, None, column.astype(object))


def _labels(days: Any, is_default: Any) -> Columns:
    """Return the outcome and the day it became known, both empty while it is not known."""
    is_known = ~_since(days + LABEL_DELAY_DAYS, SNAPSHOT_DAY + timedelta(days=1))
    return {
        "default": _pierced(is_default.astype(int), ~is_known),
        "default_known_at": _pierced(_dates(days + LABEL_DELAY_DAYS), ~is_known),
    }


def _pick(rng: np.random.Generator, n: int, shares: Mapping[str, float]) -> Any:
    """Return ``n`` names drawn with ``shares``, which sum to one."""
    edges = np.cumsum(list(shares.values()))[:-1]
    return np.array(list(shares), dtype=object)[np.searchsorted(edges, rng.random(n), "right")]


def _normal(rng: np.random.Generator, n: int) -> Any:
    """Return ``n`` standard normal numbers (Box and Muller, 1958)."""
    radius = np.sqrt(-2 * np.log1p(-rng.random(n)))
    return radius * np.cos(2 * np.pi * rng.random(n))


def _by(values: Mapping[str, float], names: Any, default: float = 0.0) -> Any:
    """Return the value of each of ``names``, ``default`` where there is none."""
    result = np.full(len(names), default)
    for name, value in values.items():
        result[names == name] = value
    return result


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
