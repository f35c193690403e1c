"""An explanation that is made up, with as many columns and as hostile names as a test wants."""

from __future__ import annotations

import math
from collections.abc import Sequence

from local_stack.explain.effects.parts import (
    CATEGORICAL,
    DATE,
    NUMERIC,
    Background,
    Beeswarm,
    Dependence,
    Explained,
    FeatureImportance,
    Finding,
    Interactions,
    Leaf,
    ModelExplanation,
    Partial,
    Permutation,
    Permuted,
    Strength,
    Surrogate,
    Value,
)

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "</style></title><svg onload=alert(1)>",
    "../../../etc/passwd",
    "C:\\con\\nul.png",
    "javascript:alert(1)",
    "'><link rel=stylesheet href=//evil.invalid/a.css>",
    "$\\frac{1}{2}$ and $x_{",
    "\u202egnp.exe",
    "nul\x00esc\x1b[2J",
    "half \ud800 pair",
    "]]><!--",
    "年齢",
    "",
    " ",
    "x" * 3000,
)

KINDS = (NUMERIC, CATEGORICAL, DATE)


def explained(
    names: Sequence[str] = ("age", "purpose", "since"),
    n_rows: int = 60,
    words: Sequence[str] = ("car", "tv", "house"),
    **given: object,
) -> Explained:
    """Return an explanation of columns that are numeric, categorical and dates in turn."""
    n = len(names)
    kinds = [KINDS[place % 3] for place in range(n)]
    shap = [
        tuple(math.sin(row * (place + 1)) / (place + 1) for row in range(n_rows))
        for place in range(n)
    ]
    values = [_values(kind, n_rows, words) for kind in kinds]
    scaled = tuple(
        tuple(row / n_rows if kind == NUMERIC and row % 9 else None for row in range(n_rows))
        for kind in kinds
    )
    importance = tuple(
        FeatureImportance(name, sum(map(abs, shap[place])) / max(n_rows, 1))
        for place, name in enumerate(names)
    )
    few = tuple(names[:20])
    explanation = ModelExplanation(
        run_id="5" * 32, data_version="credit@3f2a", n_rows=n_rows, n_total=900, is_sample=True,
        unit="log-odds", method="exact: TreeSHAP", base_value=0.7, importance=importance,
        base_probability=0.668, additivity_error=3e-14, artifacts=(), target="risk",
        estimator="lightgbm",
        outputs=("good",), output="good", base_values=(0.7,),
        background=Background("credit@3f2a", 500, "evenly spread"),
        permutation=Permutation(
            "roc_auc", 0.79, "test", 250, 10, "95 % over 10 repeats",
            tuple(Permuted(name, 0.1 / (i + 1), 0.08 / (i + 1), 0.13 / (i + 1))
                  for i, name in enumerate(names)),
        ),
        interactions=Interactions(
            few, tuple(tuple(1 / (1 + i + j) for j in range(len(few))) for i in range(len(few))),
            "log-odds", "exact", 200,
        ),
        surrogate=Surrogate(
            tuple(f"if {name} <= 3: {words[0]}" for name in few),
            tuple(Leaf((f"{name} <= 3",), words[0], 0.5) for name in few),
            "agreement", 0.91, 0.7, 3, 600, 200,
        ),
        findings=tuple(Finding(name, "unused", f"No split uses {name}.") for name in few),
        notes=tuple(f"Interactions of {name} are of 200 rows." for name in few),
    )  # fmt: skip
    dependences = tuple(
        Dependence(
            name, kinds[place], values[place], shap[place], names[(place + 1) % n],
            kinds[(place + 1) % n], values[(place + 1) % n],
            f"{names[(place + 1) % n]} explains 31 % of the spread.",
            (Strength(names[(place + 1) % n], 0.31),), n_rows,
        )
        for place, name in enumerate(names)
    )  # fmt: skip
    partials = tuple(
        Partial(
            name, kinds[place], tuple(dict.fromkeys(v for v in values[place] if v is not None)),
            (), (), "good", "probability", 40,
        )
        for place, name in enumerate(names)
    )  # fmt: skip
    partials = tuple(_lines(partial) for partial in partials)
    from dataclasses import replace

    return Explained(
        replace(explanation, **given),
        Beeswarm(tuple(names), tuple(shap), scaled, n_rows),
        dependences,
        partials,
    )


def _lines(partial: Partial) -> Partial:
    from dataclasses import replace

    n = len(partial.grid)
    mean = tuple(0.5 + 0.4 * math.sin(place) for place in range(n))
    ice = tuple(tuple(value * k / 40 for value in mean) for k in range(40))
    return replace(partial, mean=mean, ice=ice)


def _values(kind: str, n_rows: int, words: Sequence[str]) -> tuple[Value, ...]:
    def value(row: int) -> Value:
        if row % 9 == 0:
            return None
        if kind == NUMERIC:
            return float(row % 23)
        if kind == CATEGORICAL:
            return words[row % len(words)]
        return f"20{10 + row % 10}-0{1 + row % 9}-17"

    return tuple(value(row) for row in range(n_rows))
