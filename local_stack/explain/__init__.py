"""Explain: why a model predicts what it does, in general and for a row, and whether it is fair."""

VERBS = {
    "model": "model",
    "row": "row",
    "fairness": "fairness",
    "dependence": "dependence",
    "compare": "compare",
}
"""The module of this package that declares each verb: a command line imports no other."""
