"""Fitting of the steps on texts and dates."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from local_stack.errors import InputError
from local_stack.preparation.dates import PARTS, PERIODS, Cycle, Part
from local_stack.preparation.steps import DatesStep, TextStep, TfidfStep
from local_stack.preparation.table import Draft, Table, check_new, misfit
from local_stack.preparation.texts import TextLength, TfIdf, terms_of

__all__ = ["dates", "lengths", "tfidf"]


def dates(table: Table, step: DatesStep) -> None:
    """Turn dates into numbers."""
    for draft in table.select(step.columns):
        if draft.kind != "date":
            raise InputError(f"Column '{draft.name}' is not a date.", "Name date columns only.")
        origin = _origin(draft)
        if "elapsed_days" in step.parts:
            table.note(draft, "elapsed days since", origin)
        made: list[Draft] = []
        for part in (p for p in PARTS if p in step.parts):
            name = f"{draft.name}_{part}"
            made += table.run(Part((draft.name,), (name,), part, origin))
        for part in (p for p in PERIODS if p in step.cyclic):
            names = (f"{draft.name}_{part}_sin", f"{draft.name}_{part}_cos")
            made += table.run(Cycle((draft.name,), names, part))
        table.replace(draft, made)


def _origin(draft: Draft) -> str:
    import numpy as np

    found = np.asarray(draft.values)
    present = found[~np.isnat(found)]
    return str(present.min().item().isoformat()) if present.size else "1970-01-01T00:00:00"


def _texts(table: Table, step: TextStep | TfidfStep) -> list[Draft]:
    chosen = table.select(step.columns)
    for draft in chosen:
        if draft.kind != "categorical":
            raise misfit(draft)
    return chosen


def lengths(table: Table, step: TextStep) -> None:
    """Add lengths of texts."""
    for draft in _texts(table, step):
        for measure in step.measures:
            name = f"{draft.name}_{measure}"
            check_new(table, [name])
            table.add(table.run(TextLength((draft.name,), (name,), measure)))


def tfidf(table: Table, step: TfidfStep) -> None:
    """Turn texts into weights of terms."""
    low, high = step.ngrams
    for draft in _texts(table, step):
        in_all: Counter[str] = Counter()
        n_texts_with: Counter[str] = Counter()
        for text in draft.values:
            terms = terms_of(text or "", (low, high))
            in_all.update(terms)
            n_texts_with.update(set(terms))
        known = sorted(term for term, n in n_texts_with.items() if n >= step.min_df)
        if not known:
            raise InputError(
                f"Column '{draft.name}' holds no words that are in {step.min_df} texts or more.",
                "Leave the column out, or encode it as a category.",
            )
        kept = sorted(sorted(known, key=lambda term: -in_all[term])[: step.max_features])
        # scikit-learn's smoothed form: as if one more text held every term once.
        idf = [math.log((1 + table.n_rows) / (1 + n_texts_with[term])) + 1 for term in kept]
        table.note(draft, "terms", len(kept))
        names = tuple(f"{draft.name}_{term}" for term in kept)
        operation = TfIdf((draft.name,), names, tuple(kept), tuple(idf), (low, high))
        made = [replace(one, kind="encoded") for one in table.run(operation)]
        table.replace(draft, made)
