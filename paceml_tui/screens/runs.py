"""Runs: what was tried, by whichever tool, with which params, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Static

from local_stack.errors import InputError, StackError
from paceml_tui import keys
from paceml_tui.render import Block, Text, join, safe, styled
from paceml_tui.screens import runs_begin, runs_columns, runs_detail, runs_filter
from paceml_tui.screens.runs_compare import RunsCompareView
from paceml_tui.screens.runs_compare_parts import target_of
from paceml_tui.screens.runs_list import STATES, RunsList, keys_of
from paceml_tui.screens.runs_remembered import MOST_FILTERS, Remembered, remember
from paceml_tui.screens.runs_view import RunView
from paceml_tui.tasks import Asked, Outcome, Request, Revealed, Row, attempt
from paceml_tui.widgets.chooser import Choice, Chooser, Chosen
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.dialog import error_dialog
from paceml_tui.widgets.records import Copied
from paceml_tui.widgets.search_bar import SearchBar

_EXPERIMENTS = """
    WITH counted AS (
        SELECT experiment AS name, max(started_at) AS newest,
               count(*) FILTER (coalesce(lifecycle, 'active') = 'active') AS n_runs,
               count(*) FILTER (lifecycle = 'deleted') AS n_deleted
        FROM found_runs GROUP BY experiment
    ), known AS (
        SELECT name, any_value(lifecycle) AS lifecycle, any_value(problem) AS problem
        FROM found_experiments GROUP BY name
    )
    SELECT coalesce(counted.name, known.name) AS name, coalesce(n_runs, 0) AS n_runs,
           coalesce(n_deleted, 0) AS n_deleted, lifecycle, problem
    FROM counted FULL JOIN known ON counted.name = known.name
    WHERE coalesce(counted.name, known.name) IS NOT NULL
    ORDER BY newest DESC NULLS LAST, name
"""


_LONGEST_NAME = 80


class Found(Message):
    """What a dialog chooses from was read."""

    def __init__(self, subject: str, outcome: Outcome[list[Row]]) -> None:
        super().__init__()
        self.subject = subject
        self.outcome = outcome


class Refused(Message):
    """What was asked for cannot be had."""

    def __init__(self, error: StackError) -> None:
        super().__init__()
        self.error = error


class RunsScreen(RunsList):
    """The list, what narrows it (filter, state, experiment, columns), and what is done to runs."""

    BINDINGS = keys.bindings("runs")

    _subject = ""
    """The run that something is typed for."""

    # What the screen is made of.

    def compose(self) -> ComposeResult:
        """Lay out the list, the line in which something is typed, and what is chosen."""
        yield from super().compose()
        yield Correction()
        yield Static(styled(""), classes="chosen")

    def filter_bar(self) -> SearchBar:
        """Return the line in which a filter is typed."""
        return SearchBar(self.FILTER_HINT, self._complete, runs_filter.typed_word)

    def _complete(self, text: str, cursor: int) -> tuple[str, ...]:
        return runs_filter.completions(text, cursor, self.known, self._values)

    def _values(self, group: str, key: str) -> list[str]:
        """Return the values of a key in the runs that are listed, and were without the filter."""
        rows = [*(self.listing.rows if self.listing else ()), *self.unfiltered]
        if group == "attributes":
            column = {"status": "status", "user_id": "actor", "run_name": "name"}.get(key, "")
            return [str(row[column]) for row in rows if row.get(column)]
        return [str(row[group][key]) for row in rows if key in (row[group] or {})]

    @property
    def bar(self) -> SearchBar:
        """Return the line in which a filter is typed."""
        return self.query_one(SearchBar)

    def on_mount(self) -> None:
        """Begin to read."""
        super().on_mount()
        self._tell_chosen()

    def filled(self) -> None:
        """Tell what is chosen, once the keys are known."""
        self._tell_chosen()

    def _title(self) -> Text:
        marks = f"{len(self._marked):,} marked" if self._marked else ""
        warned = safe(self.warnings[0], 60) if self.warnings else ""
        return join(super()._title(), styled(marks, "accent"), styled(warned, "warning", 60))

    def _tell_chosen(self) -> None:
        """Show state, experiment and columns with their keys, as the boxes of a form would."""
        listing = self.listing
        parts = [_box("a", self.lifecycle), _box("E", self.experiment or "all experiments")]
        for key, group in (("p", "params"), ("m", "metrics")):
            shown = runs_columns.shown_names(
                listing.rows if listing else (), group, self._remembered.columns
            )
            parts.append(_box(key, f"{group} {len(shown)}/{len(self.known.get(group, ()))}"))
        if self._remembered.filters:
            parts.append(_box("f", f"{len(self._remembered.filters)} saved"))
        if self.is_nested_hidden:
            parts.append(_box("h", "nested hidden"))
        if not self._is_plain:
            parts.append(_box("C", "clear"))
        self.query_one(".chosen", Static).update(join(*parts, gap="  "))

    @property
    def _is_plain(self) -> bool:
        """Return whether nothing is chosen, so that there is nothing to clear."""
        chosen = self.filter_text or self.experiment or self._marked or self._remembered.columns
        return not chosen and self.lifecycle == "active" and not self.is_nested_hidden

    # The filter.

    def narrow(self, text: str) -> None:
        """List what matches; of a search that is not whole yet the part that is."""
        found = runs_filter.read(text)
        if found.kind == "fault":
            self.bar.complain(found.problem, found.hint, found.place)
            text = runs_filter.whole_part(text)
        else:
            self.bar.accept()
        if text.strip() != self.filter_text:
            super().narrow(text)

    def action_saved(self) -> None:
        """Choose one of the saved filters."""
        filters = self._remembered.filters
        choices = [Choice(name, text) for name, text in sorted(filters.items())]
        empty = "No filter is saved yet. Press / to type one, and F to save it."
        self.app.push_screen(
            Chooser("Saved filters", choices, can_remove=True, empty=empty), self._take_saved
        )

    def _take_saved(self, chosen: Chosen | None) -> None:
        if chosen is None:
            return
        name = chosen.names[0]
        filters = dict(self._remembered.filters)
        if chosen.verb == "remove":
            filters.pop(name, None)
            self._keep(replace(self._remembered, filters=filters))
            self.action_saved()
        elif name in filters:
            self.action_filter()
            self.bar.begin(safe(filters[name], 0))

    def action_save(self) -> None:
        """Ask for the name under which the filter is saved."""
        if not self.filter_text:
            self.say("There is no filter to save. Press / to type one.")
            return
        taken = next(
            (n for n, it in self._remembered.filters.items() if it == self.filter_text), ""
        )
        self.ask("save filter", "name", taken, f"The filter is saved under it: {self.filter_text}")

    def ask(self, subject: str, prompt: str, value: str, help: str) -> None:
        """Open the line in which something is typed."""
        self.query_one(Correction).begin(subject, prompt, value, help)

    @on(Correction.Given)
    @on(Correction.Left)
    def _answered(self, event: Correction.Given | Correction.Left) -> None:
        event.stop()
        self.screen.set_focus(None)
        self.focus_main()
        if isinstance(event, Correction.Given):
            self.given(event.subject, event.value.strip())

    def given(self, subject: str, value: str) -> None:
        """Take what was typed: a name for the filter, a note, a tag or a file."""
        if subject == "note":
            self._ask_for("runs.note", run=self._subject, text=value)
        elif subject == "tag" and value:
            self._ask_for("runs.tag", run=self._subject, tags=(value,))
        elif subject == "export" and value:
            self._export_to(value)
        elif subject == "save filter" and value:
            self._save_as(value[:_LONGEST_NAME])

    def _export_to(self, path: str) -> None:
        request = self._search()
        try:
            target = target_of(path)
        except InputError as error:
            self.say(f"{error.message} {error.hint}")
            return
        if request is not None:
            self._ask_for(request.command, **request.arguments, **target)

    def _save_as(self, name: str) -> None:
        filters = {**self._remembered.filters, name: self.filter_text}
        if len(filters) > MOST_FILTERS:
            self.say(f"At most {MOST_FILTERS} filters are saved; remove one first.")
            return
        self._keep(replace(self._remembered, filters=filters))
        self.say(f"Saved as {name}. Press f to take it.", is_good=True)

    def _keep(self, what: Remembered) -> None:
        """Remember something else, on disk too where the workspace may be written to."""
        self._remembered = what
        if not self.desk.is_readonly:
            remember(self.desk.root / "cache", what)
        self._tell_chosen()

    # State, experiment and columns.

    def action_state(self) -> None:
        """List the active, the deleted, or all runs."""
        self.lifecycle = STATES[(STATES.index(self.lifecycle) + 1) % len(STATES)]
        self._list_anew()

    def action_nested(self) -> None:
        """Leave out the runs that are nested in another, or list them again."""
        self.is_nested_hidden = not self.is_nested_hidden
        self._list_anew()

    def _list_anew(self) -> None:
        self._offset = 0
        self._tell_chosen()
        self.reload()

    def action_experiment(self) -> None:
        """Choose one experiment, or all."""
        self._find("experiment", _EXPERIMENTS)

    def action_shown(self, group: str) -> None:
        """Choose what has a column."""
        if group == "columns":
            self._choose_columns(group, [Choice(it.title) for it in runs_columns.FIXED])
        else:
            self._find(group, keys_of(group))

    def _find(self, subject: str, sql: str) -> None:
        def work() -> None:
            self.post_message(Found(subject, attempt(lambda: self.desk.query(sql))))

        self.run_worker(work, thread=True, exclusive=True, group="find")

    @on(Found)
    def _choose(self, event: Found) -> None:
        event.stop()
        rows = event.outcome.value or []
        if event.subject == "experiment":
            choices = [Choice("", "active runs of every one", "all experiments")]
            choices += [Choice(str(row["name"]), _about(row)) for row in rows]
            dialog = Chooser("Experiment", choices, chosen=(self.experiment,))
            self.app.push_screen(dialog, self._take_experiment)
        else:
            found = [Choice(str(row["key"]), f"in {row['n']:,} runs") for row in rows]
            self._choose_columns(event.subject, found)

    def _take_experiment(self, chosen: Chosen | None) -> None:
        if chosen is not None and chosen.names[0] != self.experiment:
            self.experiment = chosen.names[0]
            self._list_anew()

    def _choose_columns(self, group: str, choices: Sequence[Choice]) -> None:
        if group == "columns":
            now: Sequence[str] = self._remembered.columns.get(
                group, tuple(it.title for it in runs_columns.FIXED)
            )
        else:
            rows = self.listing.rows if self.listing else ()
            now = runs_columns.shown_names(rows, group, self._remembered.columns)

        def take(chosen: Chosen | None) -> None:
            if chosen is not None:
                columns = {**self._remembered.columns, group: chosen.names}
                self._keep(replace(self._remembered, columns=columns))
                self._redraw()

        title = {"columns": "Columns"}.get(group, f"Filter {group}")
        self.app.push_screen(Chooser(title, choices, chosen=now, is_many=True), take)

    def _redraw(self) -> None:
        """Draw the lines again with other columns."""
        if self.listing is not None and self.state == "filled":
            self.listing = replace(self.listing, columns=self.columns(self.listing.rows))
            self.table.fill(self.listing, self.name_of)
            self._retitle()

    def action_clear(self) -> None:
        """Show every active run of every experiment again, in the columns of the beginning."""
        self.experiment, self.lifecycle, self._marked = "", "active", ()
        self.is_nested_hidden = False
        self._keep(replace(self._remembered, columns={}))
        self.bar.accept()
        self.begin_again()
        self._tell_chosen()

    # Marks.

    def action_mark(self) -> None:
        """Mark the selected run, or take its mark away; marks stay on other pages."""
        row = self.selected
        if row is None:
            return
        run = str(row["run_id"])
        is_on = run in self._marked
        kept = tuple(it for it in self._marked if it != run)
        self._marked = kept if is_on else (*kept, run)
        self._redraw()
        self._tell_chosen()
        self.table.action_cursor_down()

    # What is done to runs.

    @property
    def _meant(self) -> tuple[str, ...]:
        """Return the marked runs, or the selected one when none is."""
        row = self.selected
        return self._marked or ((str(row["run_id"]),) if row is not None else ())

    def _ask_for(self, command: str, **arguments: Any) -> None:
        self.post_message(Asked(Request(command, arguments), is_form=False))

    def action_compare(self) -> None:
        """Compare the marked runs; the one that was marked first is the baseline."""
        if len(self._marked) < 2:
            self.say("Mark two runs or more with space, then compare them.")
        else:
            self.app.push_screen(RunsCompareView(self.desk, self._marked))

    def action_delete(self) -> None:
        """Ask, and mark the runs as deleted."""
        if self._meant:
            self._ask_for("runs.delete", runs=self._meant)

    def action_restore(self) -> None:
        """Take the deletion of the runs back."""
        if self._meant:
            self._ask_for("runs.restore", runs=self._meant)

    def action_note(self) -> None:
        """Ask for the note of the selected run."""
        row = self.selected
        if row is not None:
            self._subject = str(row["run_id"])
            text = str((row["tags"] or {}).get(runs_detail.NOTE) or "")
            help = "Markdown, as MLflow shows it as the description; empty takes it away."
            self.ask("note", "note", text, help)

    def action_tag(self) -> None:
        """Ask for a tag of the selected run."""
        row = self.selected
        if row is not None:
            self._subject = str(row["run_id"])
            self.ask("tag", "tag", "", "KEY=VALUE, such as team=risk; KEY= takes the tag away.")

    def action_export(self) -> None:
        """Ask for the file that everything that matches is written to."""
        if self._search() is not None:
            help = "Every run that matches, not only this page: a file .csv or .parquet."
            self.ask("export", "write to", "runs.csv", help)

    def _search(self) -> Request | None:
        """Return the command for everything that matches, or say that words have none."""
        request = self.listed()
        if request is None:
            hidden = "No command leaves nested runs out; show them first, with h."
            words = "Words have no command; type a search such as metrics.rmse < 1."
            self.say(hidden if self.is_nested_hidden else words)
            return None
        return Request(request.command, {**request.arguments, "limit": 0})

    def action_markdown(self) -> None:
        """Copy everything that matches as a table of Markdown."""
        request = self._search()
        if request is None:
            return
        asked = Request(request.command, {**request.arguments, "md": True})

        def work() -> None:
            outcome = attempt(lambda: self.desk.perform(asked)[1].markdown)
            if outcome.value is not None:
                self.post_message(Copied(safe(outcome.value, 0, is_block=True)))
            elif outcome.error is not None:
                self.post_message(Refused(outcome.error))

        self.run_worker(work, thread=True, exclusive=True, group="copy")

    @on(Refused)
    def _refused(self, event: Refused) -> None:
        event.stop()
        self.app.push_screen(error_dialog("The runs could not be copied", event.error))

    # The selected run.

    def action_open_run(self) -> None:
        """Show everything about the selected run; from there one may go to its data."""
        row = self.selected
        if row is not None:
            view = RunView(self.desk, str(row["run_id"]), str(row["name"] or ""))
            self.app.push_screen(view, self._went)

    def _went(self, version: tuple[str, str] | None) -> None:
        if version is not None:
            self.post_message(Revealed(*version))

    # Training.

    def action_train(self) -> None:
        """Open the form of a training or a tuning."""
        runs_begin.train(self, self.desk, self._went)

    def action_watch(self) -> None:
        """Choose a training, at work or ended, and watch it."""
        runs_begin.watch(self, self.desk, self._went)

    def action_branch(self) -> None:
        """Open the form of a variant of the selected run."""
        row = self.selected
        if row is not None:
            name = str(row["name"] or row["run_id"])
            runs_begin.branch(self, self.desk, str(row["run_id"]), name, self._went)

    def action_explain(self) -> None:
        """Show why the model of the selected run predicts what it does."""
        from paceml_tui.screens.explain_view import ExplanationView

        row = self.selected
        if row is not None:
            called = str(row["name"] or row["run_id"])
            self.app.push_screen(ExplanationView(self.desk, str(row["run_id"]), called))

    def arguments_for(self, command: str, row: Row | None) -> dict[str, Any]:
        """Register the selected run."""
        if row is None or command == "runs.train":
            return {}
        if command == "registry.register":
            named = {"name": row["experiment"]} if row["experiment"] else {}
            return {**named, "run": row["run_id"]}
        return {"target": row["run_id"]}

    def repeats(self, row: Row) -> Request:
        """Return the command that shows the selected run."""
        return Request("runs.show", {"run": row["run_id"]})

    def detail(self, row: Row) -> Block:
        """Return everything that is recorded of a run."""
        return runs_detail.block(self.desk, row)

    def say(self, sentence: str, *, is_good: bool = False) -> None:
        """Say something in passing."""
        severity: Any = "information" if is_good else "warning"
        self.app.notify(safe(sentence, 120), severity=severity, markup=False)


def _box(key: str, shown: str) -> Text:
    return join(styled(key, "accent"), styled(shown, "quiet", 30))


def _about(row: Row) -> str:
    parts = [f"{row['n_runs']:,} runs"]
    if row["n_deleted"]:
        parts.append(f"{row['n_deleted']:,} deleted")
    if row["lifecycle"] == "deleted":
        parts.append("deleted itself")
    if row["problem"]:
        parts.append(str(row["problem"]))
    return ", ".join(parts)
