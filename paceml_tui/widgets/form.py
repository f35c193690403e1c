"""A form for any command, made from its parameters: required ones first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Checkbox, Input, Label, Select, Static

from local_stack.errors import InputError
from paceml_tui import keys
from paceml_tui.render import Text, join, lines, safe, styled
from paceml_tui.tasks import Request, as_command_line, command, words_of
from paceml_tui.widgets.keybar import KeyBar

if TYPE_CHECKING:
    from local_stack.command import Parameter


class CommandForm(ModalScreen[Request | None]):
    """Fill in the arguments of a command; Enter runs it, Escape leaves."""

    BINDINGS = keys.bindings("form")
    AUTO_FOCUS = "Input, Select, Checkbox"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._command = command(request.command)
        self._parameters = sorted(self._command.parameters, key=lambda p: not p.is_required)

    def compose(self) -> ComposeResult:
        """Lay out one field a parameter."""
        with Vertical(classes="dialog form"):
            title = join(
                styled(self._request.command, "heading"),
                styled(self._command.summary, limit=60),
                gap="  ",
            )
            yield Label(title, classes="title")
            with VerticalScroll(classes="page", can_focus=False):
                for place, parameter in enumerate(self._parameters):
                    yield from self._field(place, parameter)
            yield Static(styled(""), id="preview")
            yield Static(styled(""), id="complaint")
            yield KeyBar("form")

    def _field(self, place: int, parameter: Parameter) -> ComposeResult:
        given = self._request.arguments.get(parameter.name)
        with Horizontal(classes="field"):
            yield Label(_label(parameter), classes="name")
            yield _control(place, parameter, given)
        if parameter.help:
            yield Static(styled(parameter.help, "quiet", limit=240), classes="help")

    def on_mount(self) -> None:
        """Show what would run, and start at the first field that is still to be filled."""
        self._preview()
        for place, parameter in enumerate(self._parameters):
            if parameter.is_required and parameter.name not in self._request.arguments:
                self.query_one(f"#field-{place}").focus()
                return

    def arguments(self) -> dict[str, Any]:
        """Return what is filled in, without the fields left at their defaults."""
        found: dict[str, Any] = {}
        for place, parameter in enumerate(self._parameters):
            value = _value(self.query_one(f"#field-{place}"), parameter)
            if value is not None and value != parameter.default and value != ():
                found[parameter.name] = value
        names = [parameter.name for parameter in self._command.parameters]
        return {name: found[name] for name in names if name in found}

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Checkbox.Changed)
    def _preview(self) -> None:
        request = Request(self._request.command, self.arguments())
        self.query_one("#preview", Static).update(styled(as_command_line(request), "quiet"))
        self._complain(styled(""))

    def _complain(self, text: Text) -> None:
        self.query_one("#complaint", Static).update(text)

    @on(Input.Submitted)
    def action_submit(self) -> None:
        """Hand back the request when its arguments are ones that the command takes."""
        arguments = self.arguments()
        try:
            self._command.coerce(arguments)
        except InputError as error:
            self._complain(lines(styled(error.message, "bad"), styled(error.hint, "quiet")))
            return
        self.dismiss(Request(self._request.command, arguments, self._request.shows_result))

    def action_cancel(self) -> None:
        """Leave without running anything."""
        self.dismiss(None)


def _label(parameter: Parameter) -> Text:
    mark = styled("*", "accent") if parameter.is_required else styled("")
    return join(styled(parameter.name, limit=16), mark, gap="")


def _control(place: int, parameter: Parameter, given: Any) -> Input | Select[str] | Checkbox:
    name = f"field-{place}"
    if parameter.kind is bool:
        return Checkbox(styled(""), bool(given or parameter.default), id=name, compact=True)
    if parameter.choices and not parameter.is_repeated:
        options = [(styled(choice), choice) for choice in parameter.choices]
        chosen = given if given is not None else parameter.default
        if chosen in parameter.choices:
            return Select(options, value=str(chosen), id=name, compact=True, allow_blank=False)
        return Select(options, id=name, compact=True, prompt="choose")
    return Input(
        value=safe(_text(given if given is not None else parameter.default), 0),
        placeholder=safe(_hint(parameter)),
        id=name,
        compact=True,
    )


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(f'"{item}"' if "," in str(item) else str(item) for item in value)
    return "" if value is None or isinstance(value, Mapping) else str(value)


def _hint(parameter: Parameter) -> str:
    if parameter.is_repeated:
        return "several, with commas between them"
    kinds = {int: "a whole number", float: "a number"}
    return kinds.get(parameter.kind, "required" if parameter.is_required else "")


def _value(control: Any, parameter: Parameter) -> Any:
    if isinstance(control, Checkbox):
        return control.value
    if isinstance(control, Select):
        return None if control.is_blank() else str(control.value)
    text = str(control.value).strip()
    if not text:
        return None
    if parameter.is_repeated:
        return words_of(text)
    return _scalar(parameter, text)


def _scalar(parameter: Parameter, text: str) -> Any:
    """Return a number as one, so that it equals its default; the command judges the rest."""
    if parameter.kind in (int, float):
        try:
            return parameter.kind(text)
        except ValueError:
            return text
    return text
