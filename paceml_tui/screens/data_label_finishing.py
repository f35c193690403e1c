"""The end of a labelling in the app: ask, then make a new version in a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paceml_tui.tasks import Answer, Desk, Request
from paceml_tui.widgets.working import DoingView

if TYPE_CHECKING:
    from local_stack.data.labelling.board import Labelling


class FinishingView(DoingView):
    """A view of one labelling that can make a version of it; answers go on meanwhile."""

    def __init__(self, desk: Desk, reference: str) -> None:
        super().__init__(desk)
        self._reference = reference
        self._column = ""
        self._counted: Labelling | None = None

    def action_finish(self) -> None:
        """Ask, then make a new version with the labels."""
        counted = self._counted
        if counted is None:
            return
        if self._busy or not counted.n_labelled:
            self.say("A version is being made." if self._busy else "No row has a label yet.")
            return
        arguments: dict[str, Any] = {"name": self._reference, "column": self._column}
        if counted.n_conflicts or counted.n_unlabelled:
            arguments["partial"] = True
        request = Request("data.finish-labels", arguments)

        title = f"Make a new version of {counted.dataset}?"
        self.confirm(title, lost(counted), lambda: self.do(request, "finishing"))

    def done(self, request: Request, answer: Answer) -> None:
        """Name the version that was made."""
        made = answer.result or {}
        self.say(f"{made.get('dataset')}@{made.get('version')} is made.", is_good=True)


def lost(counted: Labelling) -> str:
    """Return what a new version would take over, and what not."""
    sentence = (
        f"{counted.n_labelled:,} of {counted.n_rows:,} rows get their label in column "
        f"{counted.column}."
    )
    if counted.n_conflicts or counted.n_unlabelled:
        sentence += (
            " The others stay as they are, missing where the column is new: "
            f"{counted.n_conflicts:,} in conflict, {counted.n_unlabelled:,} without a label."
        )
    return sentence
