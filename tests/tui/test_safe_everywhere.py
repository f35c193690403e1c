"""No text from outside reaches the terminal but through render: proven on the syntax tree.

The rule, in three parts:

1. Only ``paceml_tui/render.py`` makes rich or Textual text. Elsewhere nothing is imported from
   ``rich`` (``theme.py``: styles only) nor from ``textual.content`` and ``textual.markup``, and the
   name ``Text`` stands in annotations only. Each function of render passes what it is given
   through ``safe``.
2. Where Textual takes something to show (the sinks below), it gets a literal, a call of render,
   or a name that is annotated as text, which by part 1 came from render.
3. Where only a ``str`` will do (inputs, toasts), it gets a literal or ``safe(...)``, and a toast
   has its markup turned off. f-strings, ``+``, ``%`` and ``format`` never do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "paceml_tui"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "render.py")
DRAWN = ("app.py", "palette.py", "tasks.py", "keys.py", "theme.py")
RENDERED = [path for path in MODULES if path.name in DRAWN or path.parent != PACKAGE]

TEXT_SINKS = {
    # calls that show each of their positional arguments
    "Static": None,
    "Label": None,
    "Button": None,
    "Checkbox": (0,),
    "Option": None,
    "DiscoveryHit": (0,),
    "Hit": (1,),
    "update": None,
    "add_row": None,
    "add_column": (0,),
    "add_columns": None,
    "add_option": None,
    "add_options": None,
    "write": None,
    "write_line": None,
}
STR_SINKS = {"notify": (0,), "Input": (0,), "load_text": (0,), "Markdown": (0,)}
TEXT_KEYWORDS = {"label", "border_title", "border_subtitle", "content", "renderable"}
STR_KEYWORDS = {"placeholder", "tooltip", "title", "sub_title", "value", "message", "help"}
ATTRIBUTES = {"border_title", "border_subtitle", "tooltip", "label", "title", "sub_title"}
TEXTUAL = {
    "Input",
    "Select",
    "Button",
    "Static",
    "Label",
    "Checkbox",
    "notify",
    "Hit",
    "DiscoveryHit",
}
TEXT_TYPES = {"Text", "Block", "Table", "Group"}
BANNED = ("rich", "textual.content", "textual.markup", "textual.visual")


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def is_text_type(node: ast.expr | None) -> bool:
    """Return whether every name in an annotation is of text, or a container of text."""
    if node is None:
        return False
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    names = {name_of(it) for it in ast.walk(node) if isinstance(it, ast.Name | ast.Attribute)}
    return bool(names & TEXT_TYPES) and names <= TEXT_TYPES | {"list", "tuple", "Sequence", "None"}


class Module:
    """One file with what its imports and annotations promise."""

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.rendering = {
            alias.asname or alias.name
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom) and node.module == "paceml_tui.render"
            for alias in node.names
        } - {"Text", "Block", "Net"}
        self.promised = self._promised()
        self.faults = [
            f"line {line}: {fault}"
            for line, fault in [*self._imports(), *self._makers(), *self._sinks()]
        ]

    def _promised(self) -> set[str]:
        """Return functions, attributes that are annotated as text wherever they are annotated."""
        good: set[str] = set()
        bad: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
                (good if is_text_type(node.returns) else bad).add(node.name)
            if isinstance(node, ast.AnnAssign):
                (good if is_text_type(node.annotation) else bad).add(name_of(node.target))
            if isinstance(node, ast.FunctionDef):  # self._x = parameter of a text type
                typed = {
                    a.arg
                    for a in node.args.args + node.args.kwonlyargs
                    if is_text_type(a.annotation)
                }
                for it in ast.walk(node):
                    if isinstance(it, ast.Assign) and isinstance(it.targets[0], ast.Attribute):
                        is_typed = isinstance(it.value, ast.Name) and it.value.id in typed
                        (good if is_typed else bad).add(it.targets[0].attr)
        return good - bad

    def _imports(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self.tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                if any(name == it or name.startswith(f"{it}.") for it in BANNED):
                    yield node.lineno, f"imports {name}"

    def _makers(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and name_of(node.func) in {
                "Text",
                "Content",
                "from_markup",
            }:
                yield node.lineno, "makes a text of its own"
            if isinstance(node, ast.Attribute) and name_of(node.value) == "Text":
                yield node.lineno, "uses a maker of Text"

    def _sinks(self) -> Iterator[tuple[int, str]]:
        for scope in [self.tree, *(n for n in ast.walk(self.tree) if isinstance(n, FUNCTIONS))]:
            known = self._known(scope)
            for node in own_nodes(scope):
                if isinstance(node, ast.Call):
                    yield from self._call(node, known)
                if isinstance(node, ast.Assign):
                    yield from self._setting(node, known)

    def _setting(self, node: ast.Assign, known: set[str]) -> Iterator[tuple[int, str]]:
        is_fine = self.is_text(node.value, known) or self.is_str(node.value)
        for target in node.targets:
            if isinstance(target, ast.Attribute) and target.attr in ATTRIBUTES and not is_fine:
                yield node.lineno, f"sets {target.attr} to outside text"

    def _call(self, node: ast.Call, known: set[str]) -> Iterator[tuple[int, str]]:
        name = name_of(node.func)
        for place, argument in enumerate(node.args):
            is_fine = self.is_text(argument, known)
            if name in TEXT_SINKS and is_shown(TEXT_SINKS[name], place) and not is_fine:
                yield node.lineno, f"{name}() shows outside text"
            if name in STR_SINKS and is_shown(STR_SINKS[name], place) and not self.is_str(argument):
                yield node.lineno, f"{name}() shows outside text"
        if name in TEXTUAL:
            yield from self._keywords(name, node, known)
        turned_off = [k for k in node.keywords if k.arg == "markup" and is_false(k.value)]
        if name == "notify" and not turned_off:
            yield node.lineno, "notify() leaves its markup on"

    def _keywords(self, name: str, node: ast.Call, known: set[str]) -> Iterator[tuple[int, str]]:
        for keyword in node.keywords:
            is_bad_text = keyword.arg in TEXT_KEYWORDS and not self.is_text(keyword.value, known)
            is_bad_str = keyword.arg in STR_KEYWORDS and not self.is_str(keyword.value)
            if is_bad_text or (is_bad_str and name != "Select"):
                yield node.lineno, f"{name}({keyword.arg}=) shows outside text"

    def _known(self, scope: ast.AST) -> set[str]:
        """Return the local names that hold text: annotated so, or only ever given text."""
        given: dict[str, list[bool]] = {}
        known: set[str] = set()
        if isinstance(scope, FUNCTIONS):
            arguments = scope.args.args + scope.args.kwonlyargs
            known |= {a.arg for a in arguments if is_text_type(a.annotation)}
        for _ in range(3):  # names given by names
            given.clear()
            for node in own_nodes(scope):
                for target, value in assigned(node):
                    for name in names_in(target):
                        given.setdefault(name, []).append(self.is_text(value, known))
            known |= {name for name, fine in given.items() if all(fine)}
        for node in own_nodes(scope):
            if isinstance(node, ast.AnnAssign) and is_text_type(node.annotation):
                known.add(name_of(node.target))
        return known

    def is_text(self, node: ast.expr, known: set[str]) -> bool:  # noqa: C901 - one case a line
        """Return whether an expression is a literal, from render, or annotated as text."""
        match node:
            case ast.Constant():
                return True
            case ast.Call(func=ast.Name(id=name)):
                return name in self.rendering - {"safe"} or name in self.promised
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)):
                return name in self.promised
            case ast.Name(id=name):
                return name in known
            case ast.Attribute(attr=name):
                return name in self.promised
            case ast.IfExp(body=body, orelse=other):
                return self.is_text(body, known) and self.is_text(other, known)
            case ast.BoolOp(values=values):
                return all(self.is_text(value, known) for value in values)
            case ast.Starred(value=value):
                return self.is_text(value, known)
            case ast.GeneratorExp(elt=item) | ast.ListComp(elt=item):
                return self.is_text(item, known)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return all(self.is_text(item, known) for item in items)
            case _:
                return False

    def is_str(self, node: ast.expr, known: object = None) -> bool:
        """Return whether an expression is a literal or a call of ``safe``."""
        if isinstance(node, ast.IfExp):
            return self.is_str(node.body) and self.is_str(node.orelse)
        if isinstance(node, ast.Call):
            return name_of(node.func) == "safe" and "safe" in self.rendering
        return isinstance(node, ast.Constant)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_shown(places: tuple[int, ...] | None, place: int) -> bool:
    return places is None or place in places


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function or module without those of functions inside it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, FUNCTIONS):
            waiting.extend(ast.iter_child_nodes(node))


def names_in(target: ast.expr) -> list[str]:
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]


def assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    if isinstance(node, ast.AugAssign | ast.NamedExpr):
        yield node.target, node.value
    if isinstance(node, ast.For | ast.comprehension):
        yield node.target, node.iter


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_sink_gets_safe_text(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if path.name == "theme.py":
        source = source.replace("from rich.style", "from styles").replace(
            "from rich.theme", "from x"
        )
    assert Module(source).faults == []


def test_there_is_something_to_check() -> None:
    assert len(RENDERED) >= 25


HEAD = "from paceml_tui.render import Text, safe, styled\n"


@pytest.mark.parametrize(
    "line",
    [
        "Static(name)",
        "Static(f'{name}')",
        "Label('run ' + name)",
        "table.add_row(styled(a), b)",
        "table.add_row(*cells)",
        "widget.update(safe(name))",
        "widget.update('%s' % name)",
        "app.notify(safe(name))",
        "app.notify(name, markup=False)",
        "Input(value=name)",
        "Input(placeholder=f'{name}')",
        "Text(safe(name))",
        "Text.from_markup(name)",
        "from rich.text import Text as T",
        "import rich",
        "from textual.content import Content",
        "pane.border_title = name",
        "shown = styled(a)\nshown = a\nStatic(shown)",
        "def f(x: str) -> None:\n    Static(x)",
        "def g() -> str: ...\nStatic(g())",
        "Button(name)",
        "Static(str(name))",
        "Hit(1, name, act)",
        "pane.tooltip = f'{name}'",
    ],
)
def test_the_rule_finds_what_is_wrong(line: str) -> None:
    assert Module(HEAD + line).faults


@pytest.mark.parametrize(
    "line",
    [
        "Static('words')",
        "Static(styled(name))",
        "table.add_row(styled(a), styled(b))",
        "cells = [styled(x) for x in row]\ntable.add_row(*cells)",
        "def f(x: Text) -> None:\n    Static(x)",
        "def g() -> Text: ...\nStatic(g())",
        "app.notify(safe(name), markup=False)",
        "Input(value=safe(name), placeholder='words')",
        "pane.border_title = styled(name)",
        "keys.update()",
    ],
)
def test_the_rule_lets_pass_what_is_right(line: str) -> None:
    assert Module(HEAD + line).faults == []


PRINTERS = {"printing.py": "stdout", "narration.py": "stderr"}
COMMAND_LINE = [path for path in MODULES if path not in RENDERED and path.name != "__init__.py"]


@pytest.mark.parametrize("path", COMMAND_LINE, ids=lambda path: path.name)
def test_the_command_line_writes_through_two_modules_that_use_safe(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {name_of(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    if path.name in PRINTERS:
        assert "safe" in calls, f"{path.name} writes to {PRINTERS[path.name]} without safe()"
    else:
        assert not calls & {"print", "echo", "secho"}, f"{path.name} writes by itself"
