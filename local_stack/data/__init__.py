"""Data: imports, versions, profiles, recipes, labels and contracts."""

VERBS = {
    "add": "adding",
    "preview": "previewing",
    "browse": "sources",
    "list": "versions",
    "show": "versions",
    "rejects": "versions",
    "log": "history",
    "tag": "history",
    "diff": "diff",
    "checkout": "checkout",
    "profile": "profiles",
    "contract": "contracts",
    "check": "contracts",
    "recipe": "preparing",
    "prepare": "preparing",
    "diligence": "diligence",
    "label": "labels",
    "labels": "labels",
    "finish-labels": "labels",
    "push": "pushing",
    "pull": "pulling",
    "import-dvc": "dvc",
    "gc": "collecting",
}
"""The module of this package that declares each verb: a command line imports no other."""
