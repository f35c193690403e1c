"""Any number of runs compared: metrics with intervals and curves, params, plots, files, origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import ContentSwitcher, Static

from local_stack.errors import InputError
from paceml_tui import keys
from paceml_tui.plots import legend
from paceml_tui.render import Text, join, lines, safe, styled
from paceml_tui.screens import runs_compare_parts as parts
from paceml_tui.screens.data_diff import DiffView
from paceml_tui.screens.data_parts import PartsView
from paceml_tui.screens.data_profile_parts import ListPart
from paceml_tui.screens.runs_view import RunView
from paceml_tui.tasks import Asked, Desk, Outcome, Request
from paceml_tui.widgets.chooser import Choice, Chooser, Chosen
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.dialog import error_dialog
from paceml_tui.widgets.filter import FilterBar
from paceml_tui.widgets.records import Copied

if TYPE_CHECKING:
    from local_stack.runs.comparison.shape import RunComparison

PARTS = ("metrics", "params", "scatter", "parallel", "files", "origin")
"""The parts in the order of their keys 1 to 6."""


class Written(Message):
    """The comparison was written as Markdown."""

    def __init__(self, outcome: Outcome[str]) -> None:
        super().__init__()
        self.outcome = outcome


class RunsCompareView(PartsView):
    """What tells runs apart; the first is the baseline until another is chosen."""

    BINDINGS = keys.bindings("runs_compare")
    SCOPES = ("runs_compare",)
    NOUN = "runs to compare"
    PARTS = PARTS
    FILTERED = "params"
    DOES: ClassVar[str] = "Comparing the runs..."

    def __init__(self, desk: Desk, runs: Sequence[str]) -> None:
        super().__init__(desk)
        self._runs = tuple(runs)
        self._baseline = ""
        self._is_whole = False
        self._axes = ("", "")

    @property
    def request(self) -> Request:
        """Return the command that compares the runs."""
        arguments: dict[str, Any] = {"runs": self._runs}
        if self._baseline:
            arguments["baseline"] = self._baseline
        if self._is_whole:
            arguments["all"] = True
        return Request("runs.compare", arguments)

    def requests(self) -> list[tuple[str, Request]]:
        """Return the command that compares the runs, and that for the versions of the data."""
        found = [("This comparison", self.request)]
        pair = self._versions()
        if pair is not None:
            before, after = pair
            found.append(("Their data", Request("data.diff", {"before": before, "after": after})))
        return found

    @property
    def comparison(self) -> RunComparison | None:
        """Return what was compared, once it is there."""
        found: RunComparison | None = self._result.get("comparison")
        return found

    def heading(self) -> Text:
        """Return the title: how many runs, which is the baseline, and what is left out."""
        shown = [styled("Compare", "heading"), styled(f"{len(self._runs)} runs")]
        found = self.comparison
        if found is not None:
            base = next(it for it in found.runs if it.run_id == found.baseline)
            shown.append(join(styled("against", "quiet"), styled(base.title, limit=30)))
            what = "everything" if self._is_whole else "what differs"
            shown.append(styled(what, "accent"))
            if self.state == "filled" and self.listed is not None and self.listed.place:
                shown.append(styled(self.listed.place, "warning", 40))
            if found.warnings:
                shown.append(styled(found.warnings[0], "warning", 60))
        return join(*shown, gap="  ")

    def body(self) -> ComposeResult:
        """Lay out the strip of the parts, which run is which, and the parts."""
        yield Static(styled(""), classes="strip")
        yield Static(styled(""), classes="legend")
        with ContentSwitcher(initial=PARTS[0]):
            yield ListPart(id="metrics")
            yield ListPart(id="params")
            yield parts.ChartPart(id="scatter")
            yield parts.ChartPart(id="parallel")
            yield ListPart(id="files")
            yield ListPart(id="origin")

    def foot(self) -> ComposeResult:
        """Lay out the lines in which a filter and the name of a file are typed."""
        yield FilterBar("words that must appear")
        yield Correction()

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work in the part that is shown."""
        is_chart = self._part in ("scatter", "parallel")
        return ("runs_compare", "detail" if is_chart else "table")

    # Reading.

    def on_mount(self) -> None:
        """Begin to compare."""
        self.fetch()

    def stored(self, request: Request) -> dict[str, Any]:
        """Return the comparison itself, for its plots need more than plain values."""
        return {"comparison": self.desk.perform(request)[1]}

    def show(self) -> None:
        """Show the comparison."""
        self.retitle()
        self.become("filled")
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        found = self.comparison
        if found is None:
            return
        self.query_one(".legend", Static).update(self._legend())
        self.query_one("#metrics", ListPart).fill(parts.metric_lines(found, self._metric))
        self.query_one("#params", ListPart).fill(parts.value_lines(found, "params"))
        self.query_one("#files", ListPart).fill(parts.file_lines(found))
        self.query_one("#origin", ListPart).fill(parts.value_lines(found, "origin"))
        for name in ("scatter", "parallel"):
            self.query_one(f"#{name}", parts.ChartPart).fill(self._chart(name))
        self.action_part(self._part)

    def _legend(self) -> Text:
        from local_stack.runs.comparison import exporting

        names = exporting.titles_of(self.comparison) if self.comparison else []
        return lines(*legend(names, max(40, self.app.size.width - 6))[:2])

    def _metric(self, row: Mapping[str, Any]) -> Any:
        found, detail = self.comparison, self.query_one("#metrics Detail", Detail)
        if found is None:
            return styled("")
        width = max(24, min(120, detail.content_size.width or self.app.size.width - 6))
        height = max(6, min(16, (detail.size.height or 18) - 8 - len(found.runs)))
        return parts.metric_block(found, row, width, height)

    def _chart(self, name: str) -> parts.Draw:
        def draw(width: int, height: int) -> list[Text]:
            found = self.comparison
            if found is None:
                return []
            if name == "parallel":
                return parts.parallel_lines(found, width, height)
            return parts.scatter_lines(found, self._axes, width, height)

        return draw

    # Going about.

    def counts(self) -> Mapping[str, int | None]:
        """Return how much differs in each part."""
        found = self.comparison
        if found is None:
            return {}
        return {
            "metrics": len(found.metrics),
            "params": len(found.params) + len(found.tags),
            "files": len(found.artifacts),
            "origin": len(found.environment) + len(found.datasets),
        }

    def on_resize(self) -> None:
        """Draw the curves again in the room that there is now."""
        super().on_resize()
        if self.state == "filled":
            self.query_one(".legend", Static).update(self._legend())
            if self._part == "metrics" and self.listed:
                self.call_after_refresh(self.listed.describe)

    def action_back(self) -> None:
        """Go back one step: from the detail to the list, from a filter to all, and out."""
        if not self.back() and not self.drop_filter():
            self.dismiss(None)

    def action_whole(self) -> None:
        """Show everything, or only what differs."""
        if self.state != "loading":
            self._is_whole = not self._is_whole
            self.fetch()

    def action_baseline(self) -> None:
        """Choose the run that the others are measured against."""
        self._choose_run("Baseline", self._rebase)

    def _rebase(self, run: str) -> None:
        self._baseline = run
        self.fetch()

    def action_open_run(self) -> None:
        """Choose a run and show everything about it."""
        self._choose_run("Open", lambda run: self.app.push_screen(RunView(self.desk, run)))

    def _choose_run(self, title: str, take: Any) -> None:
        found = self.comparison
        if found is None:
            return
        choices = [Choice(it.run_id, it.experiment, it.title) for it in found.runs]

        def chosen(it: Chosen | None) -> None:
            if it is not None:
                take(it.names[0])

        now = (found.baseline,)
        self.app.push_screen(Chooser(title, choices, chosen=now), chosen)

    def action_axis(self, place: int) -> None:
        """Choose what lies along an axis of the scatter plot."""
        found = self.comparison
        if found is None or self.state != "filled":
            return
        self.action_part("scatter")
        choices = [Choice(name) for name in parts.axis_names(found)]

        def chosen(it: Chosen | None) -> None:
            if it is not None:
                axes = list(parts.axes_of(found, self._axes))
                axes[place] = it.names[0]
                self._axes = (axes[0], axes[1])
                self.query_one("#scatter", parts.ChartPart).redraw()

        title = ("Along the bottom", "Up the side")[place]
        now = parts.axes_of(found, self._axes)[place]
        self.app.push_screen(Chooser(title, choices, chosen=(now,)), chosen)

    # Data, files.

    def _versions(self) -> tuple[str, str] | None:
        """Return the first two versions of one data set that differ."""
        found = self.comparison
        for it in found.datasets if found else ():
            versions = list(dict.fromkeys(digest for digest in it.versions if digest))
            if len(versions) > 1:
                return f"{it.name}@{versions[0]}", f"{it.name}@{versions[1]}"
        return None

    def action_data(self) -> None:
        """Show what differs between the data of the runs."""
        pair = self._versions()
        if pair is None:
            self.say("The runs do not name two versions of one data set.")
        else:
            self.app.push_screen(DiffView(self.desk, *pair))

    def action_export(self) -> None:
        """Ask for the file that everything is written to."""
        if self.state == "filled":
            help = "Every row, also what does not differ: a file .csv or .parquet."
            self.ask("export", "write to", "comparison.csv", help)

    def given(self, subject: str, value: str) -> None:
        """Write the comparison to a file."""
        try:
            arguments = {**self.request.arguments, **parts.target_of(value.strip())}
        except InputError as error:
            self.say(f"{error.message} {error.hint}")
            return
        self.app.post_message(Asked(Request("runs.compare", arguments), is_form=False))

    def action_markdown(self) -> None:
        """Copy everything as a table of Markdown."""
        request = Request("runs.compare", {**self.request.arguments, "md": True})

        self.aside(lambda _: str(self.desk.perform(request)[1].markdown), Written, "copy")

    @on(Written)
    def _written(self, event: Written) -> None:
        event.stop()
        if event.outcome.value is not None:
            self.app.post_message(Copied(safe(event.outcome.value, 0, is_block=True)))
        elif event.outcome.error is not None:
            self.app.push_screen(error_dialog("It could not be copied", event.outcome.error))

    def action_copy(self) -> None:
        """Copy the ids of the runs."""
        self.app.post_message(Copied(safe(" ".join(self._runs), 0)))
