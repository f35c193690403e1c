"""Forms that begin a training: of a new recipe or a file, and of a run with changed values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Select, Static

from local_stack.errors import InputError, StackError, UnavailableError
from local_stack.names import slug
from paceml_tui import keys
from paceml_tui.render import Text, join, lines, safe, styled
from paceml_tui.tasks import Desk, Request, as_command_line, attempt
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.keybar import KeyBar

STORED = "the stored recipe"
"""What takes the steps of the data set's stored recipe as features."""
SPACE = "num_leaves: [15, 127], learning_rate: {log: [0.01, 0.3]}"
"""What a search of LightGBM tries, unless somebody writes another."""


@dataclass(frozen=True, slots=True)
class Field:
    """A line of a form: a text, or one of ``choices``."""

    name: str
    label: str
    value: str = ""
    choices: tuple[str, ...] = ()
    hint: str = ""


class RecipeForm(ModalScreen[Request | None]):
    """Lines to fill in over what they come to, and the command for it."""

    BINDINGS = keys.bindings("form")
    AUTO_FOCUS = "Input, Select"
    TITLE: ClassVar[str] = ""

    def __init__(self, desk: Desk, fields: Sequence[Field]) -> None:
        super().__init__()
        self.desk = desk
        self._fields = tuple(fields)

    def compose(self) -> ComposeResult:
        """Lay out one field a line."""
        with Vertical(classes="dialog large form recipe-form"):
            yield Label(self.heading(), classes="title")
            with Container(classes="beside"):
                with VerticalScroll(classes="page", can_focus=False):
                    for place, field in enumerate(self._fields):
                        with Horizontal(classes="field"):
                            yield Label(self._label(field, field.value), classes="name")
                            yield _control(f"field-{place}", field)
                yield Detail(classes="recipe")
            yield Static(styled(""), id="preview")
            yield Static(styled(""), id="complaint")
            yield KeyBar("form")

    def heading(self) -> Text:
        """Return the title."""
        return styled(self.TITLE, "heading")

    def _label(self, field: Field, value: str) -> Text:
        return styled(field.label, limit=25)

    def values(self) -> dict[str, str]:
        """Return what is filled in, by the name of the field."""
        found = {}
        for place, field in enumerate(self._fields):
            control: Any = self.query_one(f"#field-{place}")
            is_blank = isinstance(control, Select) and control.is_blank()
            found[field.name] = "" if is_blank else str(control.value).strip()
        return found

    def shown(self) -> Text:
        """Return what the fields come to."""
        raise NotImplementedError

    def request(self, *, is_final: bool) -> Request:
        """Return the command; ``is_final`` when it is about to start."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Show what would start."""
        self._preview()

    @on(Input.Changed)
    @on(Select.Changed)
    def _preview(self) -> None:
        found = attempt(lambda: (self.shown(), self.request(is_final=False)))
        self._complain(found.error)
        if found.value is not None:
            shown, request = found.value
            self.query_one(Detail).show(shown, is_same=True)
            command = as_command_line(request)
            self.query_one("#preview", Static).update(styled(command, "quiet", 400))

    def _complain(self, error: StackError | None) -> None:
        line = self.query_one("#complaint", Static)
        line.display = error is not None
        if error is None:
            return
        said = lines(styled(error.message, "bad", 300), styled(error.hint, "quiet", 200))
        line.update(said)

    @on(Input.Submitted)
    def action_submit(self) -> None:
        """Hand back the request, when it can be carried out."""
        found = attempt(lambda: self.request(is_final=True))
        if found.value is None:
            self._complain(found.error)
        else:
            self.dismiss(found.value)

    def action_cancel(self) -> None:
        """Leave without starting anything."""
        self.dismiss(None)


class TrainForm(RecipeForm):
    """Train or tune: with trials it is a tuning; a recipe file takes the place of the fields."""

    TITLE = "Train or tune"

    def __init__(self, desk: Desk, datasets: Sequence[Mapping[str, Any]]) -> None:
        self._targets = {str(row["name"]): str(row["target"] or "") for row in datasets}
        names = tuple(self._targets)
        target = self._targets[names[0]] if names else ""
        super().__init__(
            desk,
            (
                Field("dataset", "data set", names[0] if names else "", names),
                Field("target", "target", target, hint="the data set's own"),
                Field("task", "task", "inferred", ("inferred", "regression", "classification")),
                Field("features", "features", "every column", ("every column", STORED)),
                Field("estimator", "estimator", "lightgbm"),
                Field("params", "params", hint="learning_rate: 0.05, n_estimators: 400"),
                Field("folds", "folds", "5", hint="none"),
                Field("early_stopping", "early stopping", hint="rounds without improvement"),
                Field("calibrate", "calibration", "none", ("none", "isotonic", "sigmoid")),
                Field("trials", "trials", hint="none: train once; 30: tune"),
                Field("space", "search space", hint=SPACE),
                Field("metric", "search metric", hint="rmse or log_loss"),
                Field("sampler", "sampler", "tpe", ("tpe", "random", "grid")),
                Field("pruner", "pruner", "none", ("none", "median")),
                Field("workers", "trials at once", hint="1"),
                Field("experiment", "experiment", hint="the data set's name"),
                Field("file", "or a recipe file", hint="path/recipe.yaml, in place of the above"),
            ),
        )

    @on(Select.Changed, "#field-0")
    def _took_other_data(self, event: Select.Changed) -> None:
        """Name the target of the data set that was chosen."""
        field: Any = self.query_one("#field-1")
        field.value = safe(self._targets.get(str(event.value), ""), 0)

    def recipe(self) -> dict[str, Any]:
        """Return the recipe of the fields, in the shape of the file."""
        given = self.values()
        if not given["dataset"]:
            raise InputError("There is no data set yet.", "Import one on the Data screen with n.")
        found: dict[str, Any] = {
            "experiment": given["experiment"] or given["dataset"],
            "dataset": given["dataset"],
        }
        if given["target"]:
            found["target"] = given["target"]
        if given["task"] != "inferred":
            found["task"] = given["task"]
        if given["folds"]:
            found["split"] = {"folds": _whole(given["folds"], "folds")}
        if given["features"] == STORED:
            found["features"] = "stored"
        found["estimator"] = given["estimator"] or "lightgbm"
        if given["params"]:
            found["params"] = _mapping(given["params"], "params")
        if given["early_stopping"]:
            found["early_stopping"] = _whole(given["early_stopping"], "early stopping")
        if given["calibrate"] != "none":
            found["calibrate"] = given["calibrate"]
        if given["trials"]:
            found["search"] = self._search(given, found["estimator"])
        return found

    def _search(self, given: Mapping[str, str], estimator: str) -> dict[str, Any]:
        space = given["space"] or (SPACE if estimator == "lightgbm" else "")
        found: dict[str, Any] = {"trials": _whole(given["trials"], "trials")}
        if given["metric"]:
            found["metric"] = given["metric"]
        return {**found, "space": _mapping(space, "search space", "[LOW, HIGH]")}

    def shown(self) -> Text:
        """Return the recipe as YAML."""
        given = self.values()
        text = self._text(given["file"])
        shown = styled(text, limit=8_000, is_block=True)
        if given["file"] and not given["trials"] and re.search(r"^search\s*:", text, re.MULTILINE):
            said = "The file has a search: fill in trials to tune; without, it is trained once."
            return lines(styled(said, "warning"), shown)
        return shown

    def _text(self, path: str) -> str:
        if not path:
            return _yaml(self.recipe())
        try:
            with Path(path).expanduser().open("rb") as stream:
                return stream.read(64_000).decode("utf-8", "replace")
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or "it is no path"
            raise InputError(
                f"The recipe file '{path}' cannot be read: {why}.", "Type the path of a YAML file."
            ) from error

    def request(self, *, is_final: bool) -> Request:
        """Return the training or the tuning; the recipe is written and checked before it starts."""
        given = self.values()
        if given["file"]:
            path = Path(given["file"]).expanduser().absolute()
        else:
            text = _yaml(self.recipe())
            digest = hashlib.sha256(text.encode()).hexdigest()[:12]
            name = f"{slug(given['experiment'] or given['dataset'])}-{digest}.yaml"
            path = self.desk.root / "recipes" / name
            if is_final:
                self._write(path, text)
        if is_final:
            self._check(path)
        arguments: dict[str, Any] = {"recipe": str(path)}
        if not given["trials"]:
            return Request("runs.train", arguments)
        arguments["trials"] = _whole(given["trials"], "trials")
        for option, usual in (("sampler", "tpe"), ("pruner", "none")):
            if given[option] != usual:
                arguments[option] = given[option]
        if given["workers"]:
            arguments["workers"] = _whole(given["workers"], "trials at once")
        return Request("runs.tune", arguments)

    def _write(self, path: Path, text: str) -> None:
        """Keep the recipe in the workspace."""
        if self.desk.is_readonly:
            raise InputError("It is open for reading only.", "Open it without --readonly.")
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UnavailableError(
                f"The recipe cannot be written into {path.parent}: {error.strerror}.",
                "Make room there, or make it writable.",
            ) from error

    def _check(self, path: Path) -> None:
        """Raise what is wrong with the recipe, or with the data that it names."""
        from local_stack.data import versions
        from local_stack.runs.recipe import load_recipe
        from local_stack.runs.train import stored_recipe, with_target

        workspace = self.desk.workspace
        plan = load_recipe(path, check=False, stored=stored_recipe(workspace))
        with_target(plan, versions.find(workspace, plan.dataset), str(path))


class BranchForm(RecipeForm):
    """The values of a run's recipe; those that are changed are marked, the old beside the new."""

    def __init__(self, desk: Desk, run: str, name: str, recipe: Mapping[str, Any]) -> None:
        self._run, self._called = run, name
        self._old = flattened(recipe)
        rows = [Field(key, key, value) for key, value in self._old.items()]
        more = Field("", "further, KEY=VALUE", hint="params.max_depth=6; params.seed=1")
        super().__init__(desk, (*rows, more))

    def heading(self) -> Text:
        """Return the title, which names the run."""
        return join(styled("Branch from", "heading"), styled(self._called, limit=50), gap="  ")

    def changed(self) -> dict[str, str]:
        """Return the values that differ from those of the run."""
        given = self.values()
        more = given.pop("")
        found = {key: value for key, value in given.items() if value != self._old[key]}
        for word in filter(None, (it.strip() for it in more.split(";"))):
            key, sign, value = word.partition("=")
            if not sign or not key.strip():
                raise InputError(f"'{word[:60]}' is not KEY=VALUE.", "As: params.max_depth=6")
            found[key.strip()] = value.strip()
        return found

    def shown(self) -> Text:
        """Return what is changed, and mark it among the fields."""
        changed = self.changed()
        for label, field in zip(self.query(".name").results(Label), self._fields, strict=True):
            is_changed = field.name in changed
            mark = styled("* " if is_changed else "  ", "accent")
            label.update(
                join(mark, styled(field.label, "accent" if is_changed else "", 23), gap="")
            )
        if not changed:
            return styled("Nothing is changed yet: this would repeat the run.", "quiet")
        shown = [
            join(
                styled(key, limit=40),
                styled(self._old.get(key) or "absent", "quiet", 40),
                styled("->", "quiet"),
                styled(value or "null", "accent", 40),
            )
            for key, value in changed.items()
        ]
        return lines(*shown)

    def request(self, *, is_final: bool) -> Request:
        """Return the branch."""
        sets = tuple(f"{key}={value or 'null'}" for key, value in self.changed().items())
        return Request("runs.branch", {"run": self._run, **({"set": sets} if sets else {})})


def flattened(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a recipe that a form can change, by their dotted keys, as YAML."""
    found: dict[str, str] = {}
    for key, value in recipe.items():
        if key == "features":
            continue
        if key in ("params", "split") and isinstance(value, Mapping):
            found |= {f"{key}.{name}": _flow(it) for name, it in value.items()}
        else:
            found[key] = _flow(value)
    first = [key for key in found if key.startswith("params.")]
    return {key: found[key] for key in (*first, *(k for k in found if k not in first))}


def _flow(value: Any) -> str:
    if value is None:
        return ""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, width=76, default_flow_style=None
    )
    return str(text)


def _mapping(text: str, name: str, value: str = "VALUE") -> dict[str, Any]:
    text = text.strip()
    if not text:
        raise InputError(f"The {name} is missing.", f"Write NAME: {value}, NAME: {value}.")
    try:
        found = yaml.safe_load(text if text.startswith("{") else f"{{{text}}}")
    except (yaml.YAMLError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found or any(v is None for v in found.values()):
        raise InputError(f"The {name} cannot be read.", f"Write NAME: {value}, NAME: {value}.")
    return found


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise InputError(f"The {name} need a whole number, not '{text[:40]}'.")
    return int(text)


def _control(name: str, field: Field) -> Input | Select[str]:
    if field.choices:
        options = [(styled(it), it) for it in field.choices]
        return Select(options, value=field.value, id=name, compact=True, allow_blank=False)
    return Input(safe(field.value, 0), placeholder=safe(field.hint), id=name, compact=True)
