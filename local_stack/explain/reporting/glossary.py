"""What the words of an explanation mean, in plain language, for whoever is handed the page."""

from __future__ import annotations

from local_stack.data.profiling.page_html import Markup, joined, tag
from local_stack.explain.attributing.attributions import (
    DECISION,
    LOG_ODDS,
    LOG_ODDS_BEFORE,
    LOG_TARGET,
    PROBABILITY,
    TARGET,
)
from local_stack.explain.effects.parts import ModelExplanation

_UNITS = {
    LOG_ODDS: (
        "Log-odds",
        "The unit of the SHAP values on this page. The odds are how often an outcome happens for "
        "each time it does not; their logarithm is what the model adds up. 0 is an even chance, "
        "+0.69 doubles the odds, -0.69 halves them. Near 50 % a tenth is about 2.5 points of "
        "probability; near 0 % or 100 % it is less.",
    ),
    LOG_ODDS_BEFORE: (
        "Log-odds before calibration",
        "The unit of the SHAP values on this page. The logarithm of the odds is what the model "
        "adds up. Its probabilities are calibrated afterwards: a higher score never means a lower "
        "probability, but by how much it is higher the log-odds do not tell.",
    ),
    PROBABILITY: (
        "Probability",
        "The unit of the SHAP values on this page: 0.05 is 5 points of probability.",
    ),
    TARGET: (
        "Target",
        "The unit of the SHAP values on this page is that of what is predicted.",
    ),
    LOG_TARGET: (
        "Log target",
        "The unit of the SHAP values on this page: the logarithm of what is predicted. +0.1 "
        "multiplies the prediction by about 1.105, +0.69 doubles it.",
    ),
    DECISION: (
        "Decision function",
        "The unit of the SHAP values on this page: the model's own score, which is no "
        "probability. Above zero it decides for the class, the further the more clearly.",
    ),
}

_WORDS = (
    (
        "SHAP value",
        "How much the value of one column moves one prediction away from the base value. The base "
        "value and all SHAP values of a row add up to its prediction. It tells what the model "
        "does with a value, not what causes what in the world.",
    ),
    ("Base value", "What the model predicts on average over the background rows."),
    (
        "Background",
        "Rows that stand for a column whose value is not known: what is usual is taken from them.",
    ),
    (
        "Additivity error",
        "By how much base value and SHAP values miss the prediction, in the worst row. Near zero "
        "means that nothing is left unexplained.",
    ),
    (
        "Mean |SHAP value|",
        "How much a column moves predictions, up or down, on average over the rows.",
    ),
    (
        "Permutation importance",
        "How much worse the model gets when the values of a column are shuffled among the rows. "
        "An interval that holds zero says: the model may do as well without what the column tells.",
    ),
    (
        "Partial dependence",
        "The mean prediction if every row had the same value of a column, everything else as it "
        "is. The faint lines are single rows (ICE). Where columns move together, some of these "
        "rows are ones that never occur.",
    ),
    (
        "Interaction",
        "What two columns do together beyond what each does by itself.",
    ),
    (
        "Surrogate tree",
        "A small tree that imitates the model. Its fidelity says how often it does; what it gets "
        "wrong it does not explain.",
    ),
)


def glossary(found: ModelExplanation) -> Markup:
    """Return the words with their meanings, the unit of the explanation among them."""
    words = [_WORDS[0], *([_UNITS[found.unit]] if found.unit in _UNITS else []), *_WORDS[1:]]
    held = joined(joined((tag("dt", word), tag("dd", meaning))) for word, meaning in words)
    return tag("div", tag("dl", held, class_="words"), class_="card")
