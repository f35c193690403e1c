"""pandera schemas, as ``schema.to_yaml()`` and ``schema.to_json()`` write them, as contracts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local_stack.data.contracting.foreign import Draft, Taken, named

_RESERVED = frozenset(
    ("title", "description", "dtype", "nullable", "checks", "name", "unique", "coerce", "required")
)
_DEFAULTS = {"regex": False, "default": None, "drop_invalid_rows": False}
_OPTIONS = frozenset(
    ("check_name", "ignore_na", "raise_warning", "n_failure_cases", "groupby", "groups", "error")
)
_TYPES = (
    (re.compile(r"u?int(8|16|32|64)?(\[.*\])?", re.IGNORECASE), "long"),
    (re.compile(r"(float|double)(16|32|64)?(\[.*\])?", re.IGNORECASE), "double"),
    (re.compile(r"(str|string|utf8)(\[.*\])?|categorical\(.*", re.IGNORECASE), "string"),
    (re.compile(r"bool(ean)?(\[.*\])?", re.IGNORECASE), "boolean"),
    (re.compile(r"datetime.*|timestamp.*", re.IGNORECASE), "datetime"),
    (re.compile(r"date(32)?(\[.*\])?", re.IGNORECASE), "date"),
)


def taken(schema: Mapping[str, Any]) -> Taken:
    """Return the contract that a data-frame schema makes; ``nullable`` is false unless it says so.

    Texts are matched as pandera does (``str_matches`` from their beginning).
    """
    draft = Draft()
    columns = schema.get("columns") or {}
    if not isinstance(columns, Mapping):
        draft.warn("columns", "their names are not texts")
        columns = {}
    for name, component in columns.items():
        _column(draft, str(name), component if isinstance(component, Mapping) else {})
    _table(draft, schema)
    return draft.taken("pandera")


def _table(draft: Draft, schema: Mapping[str, Any]) -> None:
    if schema.get("strict") is True:
        draft.values["extra_columns"] = "forbid"
    elif schema.get("strict"):
        draft.warn(f"strict: {schema['strict']}", "a check removes no columns")
    if schema.get("ordered"):
        draft.values["column_order"] = True
    unique = schema.get("unique")
    if unique:
        draft.key([unique] if isinstance(unique, str) else list(unique), what="unique")
    if isinstance(schema.get("description"), str) and schema["description"]:
        draft.values["description"] = schema["description"]
    if schema.get("coerce"):
        draft.warn("coerce", "a check converts nothing; values must have the type already")
    for word in ("index", "multiindex", "dtype", "add_missing_columns", "drop_invalid_rows"):
        if schema.get(word):
            draft.warn(word, "there is no such rule here")
    for entry in schema.get("checks") or []:
        options = entry.get("options", {}) if isinstance(entry, Mapping) else {}
        draft.warn(
            f"the check {options.get('check_name', '')} of the whole frame".replace("  ", " "),
            "it names no column",
        )


def _column(draft: Draft, name: str, component: Mapping[str, Any]) -> None:
    if component.get("regex"):
        draft.warn(f"column '{name}'", "its name is a pattern")
        return
    rules = draft.column(name)
    _type(draft, name, component)
    rules |= {"required": False} if component.get("required") is False else {}
    rules |= {"description": component["description"]} if component.get("description") else {}
    rules |= {"nullable": False} if not component.get("nullable") else {}
    rules |= {"unique": True} if component.get("unique") else {}
    if component.get("unique") and component.get("nullable"):
        draft.warnings.append(
            f"Column '{name}' is unique and nullable: here, missing values do not repeat."
        )
    if component.get("coerce"):
        draft.warn(f"coerce of column '{name}'", "a check converts nothing")
    for word, usual in _DEFAULTS.items():
        if word != "regex" and component.get(word, usual) != usual:
            draft.warn(f"{word} of column '{name}'", "a check changes nothing")
    for check, arguments, options in _checks(component):
        _check(draft, name, check, arguments, options)


def _type(draft: Draft, name: str, component: Mapping[str, Any]) -> None:
    written = str(component.get("dtype") or "")
    kind = next((word for pattern, word in _TYPES if pattern.fullmatch(written)), None)
    if kind is not None:
        draft.column(name)["type"] = kind
    elif written:
        draft.warn(f"dtype {written} of column '{name}'", "there is no such type here")


def _checks(component: Mapping[str, Any]) -> list[tuple[str, Any, Mapping[str, Any]]]:
    """Return each check as (name, arguments, options), from the flat keys and from the list."""
    found: list[tuple[str, Any, Mapping[str, Any]]] = []
    listed = component.get("checks") or []
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, Mapping):
            options = entry.get("options") or {}
            arguments = {key: value for key, value in entry.items() if key != "options"}
            found.append((str(options.get("check_name", "")), arguments, options))
    flat = dict(listed) if isinstance(listed, Mapping) else {}
    flat |= {
        key: value
        for key, value in component.items()
        if key not in _RESERVED and key not in _DEFAULTS and key != "report_duplicates"
    }
    for key, value in flat.items():
        if isinstance(value, Mapping):
            options = {k: v for k, v in value.items() if k in _OPTIONS}
            options |= dict(value.get("options") or {})
            arguments = {k: v for k, v in value.items() if k not in {*_OPTIONS, "options"}}
            found.append((key, arguments, options))
        else:
            found.append((key, value, {}))
    return found


def _check(
    draft: Draft, column: str, check: str, arguments: Any, options: Mapping[str, Any]
) -> None:
    what = f"the check {check or 'without a name'} of column '{column}'"
    translate = _CHECKS.get(check)
    if options.get("groupby"):
        draft.warn(what, "it is asked group by group")
        return
    if options.get("ignore_na") is False and not _is_nullable_no(draft, column):
        draft.warn(f"ignore_na of {what}", "a missing value breaks no such rule here")
    severity = "warning" if options.get("raise_warning") else "error"
    name = options.get("name")
    if translate is None:
        draft.warn(what, "there is no such rule here")
        return
    try:
        rules = translate(arguments)
    except (KeyError, TypeError, ValueError, IndexError, StopIteration):
        draft.warn(what, "its arguments are not those that pandera writes")
        return
    for word, value in rules:
        title = name if isinstance(name, str) and name != check else ""
        if word == "expression":
            draft.check(
                title or f"{column} {check}",
                value.replace("{column}", named(column)),
                severity=severity,
                what=what,
            )
        else:
            draft.rule(column, word, value, severity=severity, name=title, what=what)


def _is_nullable_no(draft: Draft, column: str) -> bool:
    return draft.column(column).get("nullable") is False


def _only(arguments: Any) -> Any:
    """Return the one argument of a check, which pandera writes bare or by its name."""
    if isinstance(arguments, Mapping):
        (value,) = arguments.values()
        return value
    return arguments


def _plain(word: str) -> Callable[[Any], list[tuple[str, Any]]]:
    return lambda arguments: [(word, _only(arguments))]


def _values(word: str) -> Callable[[Any], list[tuple[str, Any]]]:
    return lambda arguments: [(word, list(_only(arguments)))]


def _range(arguments: Mapping[str, Any]) -> list[tuple[str, Any]]:
    low = "min" if arguments.get("include_min", True) else "exclusive_min"
    high = "max" if arguments.get("include_max", True) else "exclusive_max"
    return [(low, arguments["min_value"]), (high, arguments["max_value"])]


def _length(arguments: Any) -> list[tuple[str, Any]]:
    if not isinstance(arguments, Mapping):
        return [("min_length", arguments), ("max_length", arguments)]
    exact = arguments.get("exact_value")
    low = exact if exact is not None else arguments.get("min_value")
    high = exact if exact is not None else arguments.get("max_value")
    found = [("min_length", low), ("max_length", high)]
    return [(word, value) for word, value in found if value is not None]


def _set(arguments: Any) -> list[tuple[str, Any]]:
    values: Sequence[Any] = list(_only(arguments))
    return [("allowed", values), ("min_distinct", len(values))]


def _text(before: str, after: str) -> Callable[[Any], list[tuple[str, Any]]]:
    def translate(arguments: Any) -> list[tuple[str, Any]]:
        return [("pattern", f"{before}{re.escape(str(_only(arguments)))}{after}")]

    return translate


_CHECKS: dict[str, Callable[[Any], list[tuple[str, Any]]]] = {
    "equal_to": lambda arguments: [("allowed", [_only(arguments)])],
    "not_equal_to": lambda arguments: [("forbidden", [_only(arguments)])],
    "greater_than": _plain("exclusive_min"),
    "greater_than_or_equal_to": _plain("min"),
    "less_than": _plain("exclusive_max"),
    "less_than_or_equal_to": _plain("max"),
    "in_range": _range,
    "isin": _values("allowed"),
    "notin": _values("forbidden"),
    "str_matches": lambda arguments: [("pattern", f"^(?:{_only(arguments)})")],
    "str_contains": lambda arguments: [("pattern", str(_only(arguments)))],
    "str_startswith": _text("^", ""),
    "str_endswith": _text("", r"\z"),
    "str_length": _length,
    "unique_values_eq": _set,
}
