"""Runs: train, search, show and edit experiment runs."""

VERBS = {
    "train": "train",
    "tune": "tuning.tune",
    "branch": "branching",
    "reproduce": "reproducing",
    "search": "records",
    "show": "records",
    "note": "editing",
    "tag": "editing",
    "delete": "editing",
    "restore": "editing",
    "compare": "comparison.comparing",
    "sync": "syncing",
}
"""The module of this package that declares each verb: a command line imports no other."""
