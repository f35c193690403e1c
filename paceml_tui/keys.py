"""Every key of the app, declared once: bindings, footer and help are derived from here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from textual.binding import Binding, BindingType

WORDS: Final = ("tower", "data", "runs", "explain", "registry", "serving", "drift", "audit")
"""The screens in the order of their keys 1 to 8."""

FOOTER_KEYS: Final = 6
"""More do not fit 80 columns, and what does not fit is cut without a word."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key (or several for the same thing) and what it does where.

    ``scope`` is a screen's word, ``app``, ``table`` (the lines), ``list`` (what lines are
    shown), ``detail`` or the name of a dialog.
    ``rank`` orders the footer, lowest first; zero keeps the key out of it.
    """

    scope: str
    verb: str
    keys: str
    action: str
    label: str
    help: str
    rank: int = 0

    @property
    def id(self) -> str:
        """Return the name by which settings may move the key, such as ``list.filter``."""
        return f"{self.scope}.{self.verb}"

    @property
    def shown(self) -> str:
        """Return the keys as a person reads them, such as ``j ↓``."""
        return " ".join(_NAMES.get(key, key) for key in self.keys.split(","))


_NAMES: Final = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "escape": "esc",
    "enter": "enter",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
    "dollar_sign": "$",
    "shift+tab": "S-tab",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "backspace": "backspace",
}

_MOVES: Final = (
    ("down", "j,down", "cursor_down", "down", "One line down."),
    ("up", "k,up", "cursor_up", "up", "One line up."),
    ("page_down", "pagedown", "page_down", "page down", "One page down."),
    ("page_up", "pageup", "page_up", "page up", "One page up."),
    ("top", "g,home", "scroll_top", "first", "To the first line."),
    ("bottom", "G,end", "scroll_bottom", "last", "To the last line."),
)


def _moves(scope: str, **renamed: str) -> tuple[Key, ...]:
    return tuple(
        Key(scope, verb, keys, renamed.get(action, action), label, text)
        for verb, keys, action, label, text in _MOVES
    )


_CLASS: Final = "The class with {} beside it; several where a row may have them."

KEYS: Final[tuple[Key, ...]] = (
    *(
        Key("app", word, str(place), f"go('{word}')", word, f"Go to the {word} screen.")
        for place, word in enumerate(WORDS, 1)
    ),
    Key("app", "help", "question_mark", "help", "help", "Help for what you look at.", 7),
    Key("app", "palette", "colon,ctrl+p", "command_palette", "commands", "Find any command.", 6),
    Key("app", "jobs", "J", "jobs", "jobs", "Jobs: their progress, log and end.", 10),
    Key(
        "app", "repeat", "c", "repeat", "as command", "The command and the pipeline step for this."
    ),
    Key("app", "theme", "t", "theme", "theme", "Change between the dark and the light theme."),
    Key("app", "back", "escape", "step_back", "back", "One step back; it never quits."),
    Key("app", "quit", "q,ctrl+q", "quit", "quit", "Leave; jobs and endpoints go on.", 8),
    *_moves("table"),
    Key("table", "open", "enter", "select_cursor", "open", "Open the selected line.", 9),
    Key(
        "list", "filter", "slash", "filter", "filter", "Show only lines that match, as you type.", 4
    ),
    Key("list", "sort", "s", "sort", "sort", "Sort by the next column."),
    Key("list", "reverse", "S", "reverse", "reverse", "Turn the order round."),
    Key("list", "copy", "y", "copy", "copy", "Copy the name of the selected line."),
    Key("list", "next", "greater_than_sign", "turn(1)", "next lines", "The next page of lines."),
    Key("list", "previous", "less_than_sign", "turn(-1)", "last lines", "The page before."),
    *_moves(
        "detail",
        cursor_down="scroll_down",
        cursor_up="scroll_up",
        scroll_top="scroll_home",
        scroll_bottom="scroll_end",
    ),
    Key("tower", "next", "j,down,right", "step(1)", "next", "To the next part of the tower."),
    Key("tower", "previous", "k,up,left", "step(-1)", "previous", "To the part before."),
    Key("tower", "open", "enter", "open", "open", "Go to the screen of this part.", 3),
    Key("data", "add", "n", "ask('data.add')", "import", "Import a table as a new version.", 1),
    Key("data", "versions", "v", "versions", "versions", "The versions of a data set.", 2),
    Key("data", "diff", "d", "diff", "diff", "Compare the two marked, or with the last.", 3),
    Key("data", "contract", "K", "contract", "contract", "What a data set promises, checked.", 5),
    Key("data", "mark", "space", "mark", "mark", "Mark a version to compare; two at most."),
    Key("data", "profile", "p", "profile", "profile", "What is in the selected version.", 4),
    Key("data", "rows", "r", "rows", "rows", "The rows of the selected version."),
    Key("data", "label", "L", "label", "label", "Label rows of the selected version."),
    Key("data", "diligence", "i", "diligence", "diligence", "Whether it can carry a model."),
    Key("data", "recipe", "R", "recipe", "recipe", "The steps that prepare it, previewed."),
    Key("data", "tag", "T", "ask('data.tag')", "tag", "Give the selected version a name."),
    Key("data", "checkout", "e", "ask('data.checkout')", "export", "Write a version to a file."),
    Key("view", "help", "question_mark", "help", "help", "Help for what you look at.", 7),
    Key("view", "jobs", "J", "jobs", "jobs", "Jobs: their progress, log and end."),
    *(
        Key("diligence", part, str(place), f"part('{part}')", part, f"Show this part: {part}.")
        for place, part in enumerate(("verdict", "findings", "scores", "doubts", "people"), 1)
    ),
    Key("diligence", "next", "tab,right", "turn(1)", "next part", "To the next part.", 1),
    Key("diligence", "previous", "shift+tab,left", "turn(-1)", "previous", "To the part before."),
    Key("diligence", "rows", "o", "rows", "rows", "The rows behind it, among all the others.", 2),
    Key("diligence", "target", "t", "target", "target", "Choose another column to predict.", 3),
    Key("diligence", "sort", "s", "sort", "sort", "Sort by the next column."),
    Key("diligence", "again", "r", "again", "again", "Judge the version again.", 4),
    Key("diligence", "cancel", "x", "cancel", "cancel", "Stop while it is at work (asks)."),
    Key("diligence", "copy", "y", "copy", "copy", "Copy the verdict with its reasons."),
    Key("diligence", "repeat", "c", "repeat", "as command", "The command for this.", 5),
    Key("diligence", "back", "escape,q", "back", "back", "From a detail to its list, and out.", 6),
    Key("compare", "cancel", "x", "cancel", "cancel", "Stop the comparison (asks).", 2),
    Key("compare", "copy", "y", "copy", "copy", "Copy the names of the two versions.", 3),
    Key("compare", "repeat", "c", "repeat", "as command", "The command for this.", 1),
    Key("compare", "close", "escape,q", "close", "close", "Back to the screen.", 4),
    Key("contract", "check", "r", "check", "check now", "Check the version against it.", 1),
    Key("contract", "edit", "e", "edit", "edit", "Edit its text; saving makes a new number.", 2),
    Key("contract", "infer", "i", "infer", "infer", "Learn a new one from the version.", 3),
    Key("contract", "older", "less_than_sign", "turn(-1)", "older", "The contract before.", 4),
    Key("contract", "newer", "greater_than_sign", "turn(1)", "newer", "The contract after."),
    Key("contract", "copy", "y", "copy", "copy", "Copy its text."),
    Key("contract", "repeat", "c", "repeat", "as command", "The commands for this.", 5),
    Key("contract", "back", "escape,q", "back", "back", "From a check to the list, and out.", 6),
    Key("editor", "save", "ctrl+r", "save", "save", "Keep the text as a new number.", 1),
    Key("editor", "indent", "tab", "indent", "indent", "Spaces up to the next indentation."),
    Key("editor", "leave", "escape", "leave", "leave", "Leave the text (asks).", 2),
    Key("recipe", "add", "a", "add", "add", "Write a step behind the selected one.", 1),
    Key("recipe", "edit", "e", "edit", "edit", "Change the selected step.", 2),
    Key("recipe", "turn", "space", "turn_step", "on/off", "Turn the step off, or on again.", 3),
    Key("recipe", "up", "left_square_bracket", "move(-1)", "move up", "Move the step up."),
    Key("recipe", "down", "right_square_bracket", "move(1)", "move down", "Move the step down."),
    Key("recipe", "remove", "D", "remove", "remove", "Take the step out; undo brings it back."),
    Key("recipe", "undo", "u", "undo", "undo", "Take the last change back."),
    Key("recipe", "text", "E", "text", "text", "The whole text in an editor.", 4),
    Key("recipe", "save", "ctrl+r", "save", "save", "Keep the steps as a new number.", 5),
    Key("recipe", "overview", "o", "overview", "all steps", "What all steps do together.", 6),
    Key("recipe", "suggest", "i", "suggest", "suggest", "Suggest a recipe from the profile."),
    Key("recipe", "store", "w", "store", "store", "Store the prepared table as a version."),
    Key("recipe", "older", "less_than_sign", "turn(-1)", "older", "The recipe before."),
    Key("recipe", "newer", "greater_than_sign", "turn(1)", "newer", "The recipe after."),
    Key("recipe", "copy", "y", "copy", "copy", "Copy its text."),
    Key("recipe", "repeat", "c", "repeat", "as command", "The commands for this."),
    Key("recipe", "back", "escape,q", "back", "back", "From a step to the list, and out.", 7),
    Key("pick", "type", "slash", "type", "type a path", "Type a path, a URL or a glob.", 2),
    Key("pick", "up", "h,left,backspace", "up", "up", "To the folder above.", 3),
    Key("pick", "back", "escape", "leave", "back", "Back to the screen.", 4),
    Key("import", "go_on", "ctrl+r", "go_on", "go on", "To the next step; at last: import.", 1),
    Key("import", "correct", "enter", "correct", "correct", "Correct the selected line.", 2),
    Key("import", "rename", "r", "rename", "rename", "Give the selected column another name.", 3),
    Key("import", "undo", "u", "undo", "undo", "Take a correction back.", 4),
    Key("import", "turn", "v", "turn", "rows/rejects", "Rows, or warnings and rejects.", 5),
    Key("import", "repeat", "c", "repeat", "as command", "The commands for this."),
    Key("import", "back", "escape", "back", "back", "One step back, and out.", 6),
    Key("naming", "submit", "ctrl+r", "submit", "import", "Import; Enter in a line does too.", 1),
    Key("naming", "back", "escape", "leave", "back", "Back to what was decided.", 2),
    Key("rows", "right", "l,right", "scroll_right", "right", "Scroll to the right."),
    Key("rows", "left", "h,left", "scroll_left", "left", "Scroll to the left."),
    *_moves(
        "rows",
        cursor_down="scroll_down",
        cursor_up="scroll_up",
        scroll_top="scroll_home",
        scroll_bottom="scroll_end",
    ),
    Key("cells", "down", "j,down", "move(1,0)", "down", "One row down."),
    Key("cells", "up", "k,up", "move(-1,0)", "up", "One row up."),
    Key("cells", "right", "l,right", "move(0,1)", "right", "One column to the right."),
    Key("cells", "left", "h,left", "move(0,-1)", "left", "One column to the left."),
    Key("cells", "page_down", "pagedown", "page(2)", "page down", "One page down."),
    Key("cells", "page_up", "pageup", "page(-2)", "page up", "One page up."),
    Key("cells", "half_down", "ctrl+d", "page(1)", "half down", "Half a page down."),
    Key("cells", "half_up", "ctrl+u", "page(-1)", "half up", "Half a page up."),
    Key("cells", "top", "g", "row(0)", "first", "To the first row."),
    Key("cells", "bottom", "G", "row(-1)", "last", "To the last row."),
    Key("cells", "first", "0,home", "side(0)", "first column", "To the first column."),
    Key("cells", "last", "dollar_sign,end", "side(-1)", "last column", "To the last column."),
    Key("cells", "open", "enter", "open", "whole cell", "The cell in full.", 2),
    Key("preview", "go", "colon", "go_to", "go to", "To a row by number, or a column by name.", 1),
    Key("preview", "freeze", "f", "freeze", "freeze", "Keep the columns up to here in sight.", 3),
    Key(
        "preview", "next", "n", "next(1)", "next", "To the next of the rows that were asked for.", 6
    ),
    Key("preview", "previous", "N", "next(-1)", "previous", "To the one before."),
    Key("preview", "copy", "y", "copy", "copy", "Copy the cell."),
    Key("preview", "repeat", "c", "repeat", "as command", "The command that shows these rows.", 4),
    Key("preview", "close", "escape,q", "close", "close", "Back to where you came from.", 5),
    Key("label", "confirm", "enter", "confirm", "keep", "Keep the chosen classes and go on."),
    Key("label", "skip", "s", "skip", "skip", "Pass the row over.", 1),
    Key("label", "undo", "u", "undo", "undo", "Take your last act back, and the ones before.", 2),
    Key("label", "note", "n", "ask('note')", "note", "Write a note on the row.", 3),
    Key("label", "queue", "slash", "ask('queue')", "queue", "Which rows, and in which order.", 4),
    Key("label", "next", "right,greater_than_sign", "move(1)", "next", "The row after this one."),
    Key("label", "last", "left,less_than_sign", "move(-1)", "before", "The row before this one."),
    Key("label", "go", "colon", "ask('row')", "go to", "To a row by its number."),
    Key("label", "judge", "A", "adjudicate", "adjudicate", "Settle what annotators differ on.", 5),
    Key("label", "reveal", "P", "reveal", "others", "Show or hide what others answered."),
    Key("label", "class", "plus", "ask('class')", "add class", "A class by its name, old or new."),
    Key("label", "column", "L", "ask('column')", "column", "Label another column."),
    Key("label", "finish", "F", "finish", "finish", "Make a new version with the labels.", 6),
    Key("label", "copy", "y", "copy", "copy", "Copy the row's number, as the command takes it."),
    Key("label", "repeat", "c", "repeat", "as command", "The commands for this."),
    Key("label", "back", "escape,q", "back", "back", "Back to the screen; all answers are kept."),
    *(
        Key("classes", f"class_{place + 1}", key, f"choose({place})", "class", _CLASS.format(key))
        for place, key in enumerate("1234567890abdefhilmoprtvwxz")
    ),
    *(
        Key("profile", part, str(place), f"part('{part}')", part, f"Show this part: {part}.")
        for place, part in enumerate(
            ("overview", "alerts", "variables", "correlations", "missing", "sample"), 1
        )
    ),
    Key("profile", "next", "tab,right", "turn(1)", "next part", "To the next part.", 1),
    Key("profile", "previous", "shift+tab,left", "turn(-1)", "previous", "To the part before."),
    Key("profile", "filter", "slash", "filter", "filter", "Show only lines that match.", 2),
    Key("profile", "sort", "s", "sort", "sort", "Sort by the next column."),
    Key("profile", "reverse", "S", "reverse", "reverse", "Turn the order round."),
    Key("profile", "down", "greater_than_sign", "page(1)", "next 500", "The next 500 lines."),
    Key("profile", "up", "less_than_sign", "page(-1)", "last 500", "The 500 lines before."),
    Key("profile", "line_down", "n", "step(1)", "next line", "The next line, in its detail too."),
    Key("profile", "line_up", "N", "step(-1)", "last line", "The line before."),
    Key("profile", "method", "m", "method", "method", "Another correlation; or duplicates.", 4),
    Key("profile", "rows", "o", "rows", "rows", "The rows behind it, among all the others.", 3),
    Key("profile", "variable", "v", "variable", "variable", "To the variable that it is about."),
    Key("profile", "target", "t", "target", "target", "The column to predict, to judge others by."),
    Key("profile", "time", "T", "time", "time", "The column of dates, to describe series by."),
    Key("profile", "export", "e", "export", "HTML", "Write the profile as one page.", 5),
    Key("profile", "again", "r", "again", "again", "Describe the version again."),
    Key("profile", "cancel", "x", "cancel", "cancel", "Stop while it is at work (asks)."),
    Key("profile", "copy", "y", "copy", "copy", "Copy the name of the selected column."),
    Key("profile", "repeat", "c", "repeat", "as command", "The command for this."),
    Key("profile", "back", "escape,q", "back", "back", "From a detail to its list, and out.", 6),
    Key("correct", "apply", "enter", "apply", "apply", "Read again with this value.", 1),
    Key("correct", "drop", "escape", "drop", "drop", "Leave it as it is.", 2),
    Key("runs", "open", "o", "open_run", "open", "Everything about the run: curves, files.", 1),
    Key("runs", "mark", "space", "mark", "mark", "Mark a run to compare, delete or restore.", 2),
    Key("runs", "compare", "d", "compare", "compare", "Compare the marked runs.", 3),
    Key("runs", "delete", "D", "delete", "delete", "Delete the marked runs, or this one (asks)."),
    Key("runs", "restore", "U", "restore", "restore", "Take the deletion back."),
    Key("runs", "note", "N", "note", "note", "Write the note of the selected run."),
    Key("runs", "tag", "T", "tag", "tag", "Set a tag of the selected run, or take it away."),
    Key("runs", "export", "e", "export", "export", "Write what is listed to a file."),
    Key("runs", "markdown", "Y", "markdown", "copy table", "Copy what is listed as Markdown."),
    Key("runs", "experiment", "E", "experiment", "experiment", "Choose one experiment, or all."),
    Key("runs", "state", "a", "state", "state", "Active, deleted or all runs."),
    Key("runs", "nested", "h", "nested", "nested", "Hide runs nested in another, or show them."),
    Key("runs", "params", "p", "shown('params')", "params", "Choose the params that are shown."),
    Key("runs", "metrics", "m", "shown('metrics')", "metrics", "Choose the metrics shown."),
    Key("runs", "tags", "u", "shown('tags')", "tags", "Choose the tags that are shown."),
    Key("runs", "columns", "w", "shown('columns')", "columns", "Choose the other columns."),
    Key("runs", "clear", "C", "clear", "clear", "No filter, marks, experiment, chosen columns."),
    Key("runs", "saved", "f", "saved", "filters", "Take a saved filter; D there removes one."),
    Key("runs", "save", "F", "save", "save filter", "Save the filter under a name."),
    Key("runs", "train", "n", "train", "train", "Train or tune from a form or a recipe file.", 5),
    Key("runs", "watch", "W", "watch", "watch", "Trainings and tunings, at work and ended."),
    Key("runs", "branch", "b", "branch", "branch", "Train a variant of the selected run."),
    Key("runs", "explain", "x", "explain", "explain", "Why its model predicts what it does."),
    Key("runs", "register", "r", "ask('registry.register')", "register", "Register its model."),
    *(
        Key("run", part, str(place), f"part('{part}')", part, f"Show this part: {part}.")
        for place, part in enumerate(
            ("overview", "metrics", "params", "files", "nested", "evaluation", "study"), 1
        )
    ),
    Key("run", "next", "tab,right", "turn(1)", "next part", "To the next part.", 1),
    Key("run", "previous", "shift+tab,left", "turn(-1)", "previous", "To the part before."),
    Key("run", "filter", "slash", "filter", "filter", "Show only lines that match.", 2),
    Key("run", "sort", "s", "sort", "sort", "Sort by the next column."),
    Key("run", "log", "l", "log", "log", "Curves by powers of ten, or plainly."),
    Key("run", "relative", "o", "relative", "relative", "Open its parent, or the selected run.", 4),
    Key("run", "data", "v", "data", "data", "To the version of the data it was made of.", 5),
    Key("run", "branch", "b", "branch", "branch", "Train a variant with changed values.", 3),
    Key("run", "explain", "x", "explain", "explain", "Why its model predicts what it does."),
    Key("run", "copy", "y", "copy", "copy", "Copy the selected value, or the run's id."),
    Key("run", "repeat", "c", "repeat", "as command", "The command for this."),
    Key("run", "back", "escape,q", "back", "back", "From a detail to its list, and out.", 6),
    *(
        Key("runs_compare", part, str(place), f"part('{part}')", part, f"Show this part: {part}.")
        for place, part in enumerate(
            ("metrics", "params", "scatter", "parallel", "files", "origin"), 1
        )
    ),
    Key("runs_compare", "next", "tab,right", "turn(1)", "next part", "To the next part.", 1),
    Key("runs_compare", "previous", "shift+tab,left", "turn(-1)", "previous", "The part before."),
    Key("runs_compare", "filter", "slash", "filter", "filter", "Show only lines that match."),
    Key("runs_compare", "whole", "a", "whole", "all", "Everything, or only what differs.", 2),
    Key("runs_compare", "baseline", "b", "baseline", "baseline", "Measure against another.", 3),
    Key("runs_compare", "across", "x", "axis(0)", "x axis", "What lies along the bottom."),
    Key("runs_compare", "up", "Y", "axis(1)", "y axis", "What lies up the side."),
    Key("runs_compare", "open", "o", "open_run", "open", "Everything about one of the runs."),
    Key("runs_compare", "data", "v", "data", "data", "What differs in their data.", 4),
    Key("runs_compare", "export", "e", "export", "export", "Write all of it to a file.", 5),
    Key("runs_compare", "markdown", "M", "markdown", "Markdown", "Copy all of it as Markdown."),
    Key("runs_compare", "sort", "s", "sort", "sort", "Sort by name, or as it was."),
    Key("runs_compare", "copy", "y", "copy", "copy", "Copy the ids of the runs."),
    Key("runs_compare", "repeat", "c", "repeat", "as command", "The command for this."),
    Key("runs_compare", "back", "escape,q", "back", "back", "From a detail to its list; out.", 6),
    Key("training", "run", "o", "open_run", "open run", "Go to the run that it made.", 1),
    Key("training", "cancel", "x", "cancel", "cancel", "Stop it (asks).", 2),
    Key("training", "compare", "d", "compare", "compare", "Compare with its parent.", 4),
    Key("training", "again", "r", "again", "resume", "Go on with what was stopped or failed.", 3),
    Key("training", "repeat", "c", "repeat", "as command", "The command for this.", 5),
    Key("training", "copy", "y", "copy", "copy", "Copy the id of the job or of its run."),
    Key("training", "back", "escape,q", "close", "leave", "Leave; the job goes on.", 6),
    Key("chooser", "take", "enter", "take", "take", "Take what is chosen.", 1),
    Key("chooser", "type", "slash", "type", "find", "Type words that the name holds.", 4),
    Key("chooser", "remove", "D", "remove", "remove", "Remove the selected name."),
    Key("chooser", "leave", "escape", "leave", "leave", "Leave everything as it is.", 5),
    Key("turning", "turn", "space", "turn", "on/off", "Turn the selected name on or off.", 2),
    Key("turning", "all", "a", "turn_all", "all", "Turn all on that are listed, or off.", 3),
    Key("search", "next", "tab", "complete(1)", "complete", "Complete; again for the next.", 1),
    Key("search", "last", "shift+tab", "complete(-1)", "last", "The completion before."),
    Key("explain", "explain", "n", "explain", "explain", "Explain a run or a model version.", 1),
    Key("explain", "detail", "o", "detail", "detail", "What is recorded of it."),
    *(
        Key("explanation", part, str(place), f"part('{part}')", part, f"Show this part: {part}.")
        for place, part in enumerate(
            ("features", "beeswarm", "model", "rows", "fairness", "compare"), 1
        )
    ),
    Key("explanation", "next", "tab,right", "turn(1)", "next part", "To the next part.", 1),
    Key("explanation", "previous", "shift+tab,left", "turn(-1)", "previous", "The part before."),
    Key("explanation", "filter", "slash", "filter", "filter", "Show only lines that match."),
    Key("explanation", "sort", "s", "sort", "sort", "Sort by the next column."),
    Key("explanation", "reverse", "S", "reverse", "reverse", "Turn the order round."),
    Key("explanation", "by", "b", "by", "compare by", "Groups to compare, or another one.", 3),
    Key("explanation", "positive", "p", "positive", "positive", "The class whose groups count."),
    Key("explanation", "only", "o", "only", "predicted", "Only rows with one prediction, or all."),
    Key("explanation", "go", "colon", "go_to", "row", "A row by number, JSON or prediction id.", 4),
    Key("explanation", "later", "greater_than_sign", "page(1)", "next rows", "The next rows."),
    Key("explanation", "earlier", "less_than_sign", "page(-1)", "last rows", "The rows before."),
    Key("explanation", "unit", "u", "unit", "unit", "Log-odds, or probability."),
    Key("explanation", "export", "e", "export", "HTML", "Write it as one page of HTML."),
    Key("explanation", "again", "r", "again", "again", "Explain the model again."),
    Key("explanation", "cancel", "x", "cancel", "cancel", "Stop while it is at work (asks)."),
    Key("explanation", "copy", "y", "copy", "copy", "Copy the command for what is shown."),
    Key("explanation", "repeat", "c", "repeat", "as command", "The commands for this."),
    Key("explanation", "back", "escape,q", "back", "back", "From a drawing to its list; out.", 6),
    *(
        Key("decision", part, str(place), f"part('{part}')", part, f"Show this part: {part}.")
        for place, part in enumerate(("why", "reasons", "changes", "similar", "trace"), 1)
    ),
    Key("decision", "next", "tab,right", "turn(1)", "next part", "To the next part.", 5),
    Key("decision", "previous", "shift+tab,left", "turn(-1)", "previous", "To the part before."),
    Key("decision", "edit", "e", "edit", "edit", "Edit the selected value; Enter does too.", 1),
    Key("decision", "more", "plus,equals_sign", "nudge(1)", "next value", "The next value up.", 2),
    Key("decision", "less", "minus", "nudge(-1)", "value before", "The next value down."),
    Key("decision", "undo", "backspace", "undo", "undo", "Take an edited value back, or all."),
    Key("decision", "apply", "a", "apply", "apply", "Put a change into the row.", 3),
    Key("decision", "desired", "d", "desired", "wanted", "The outcome that changes lead to."),
    Key("decision", "hold", "h", "hold", "hold", "Hold the selected column as it is in changes."),
    Key("decision", "again", "r", "again", "again", "Explain the row as it is edited."),
    Key("decision", "unit", "u", "unit", "unit", "Log-odds, or probability."),
    Key("decision", "cancel", "x", "cancel", "cancel", "Stop while it is at work (asks)."),
    Key("decision", "copy", "y", "copy", "copy", "Copy the command for what is shown."),
    Key("decision", "repeat", "c", "repeat", "as command", "The commands for this."),
    Key("decision", "back", "escape,q", "back", "back", "From a detail to its list, and out.", 6),
    Key(
        "registry", "register", "n", "ask('registry.register')", "register", "Register a model.", 1
    ),
    Key("registry", "promote", "P", "ask('registry.promote')", "promote", "Move a version on.", 2),
    Key("registry", "explain", "x", "explain", "explain", "Why it predicts what it does.", 3),
    Key("serving", "start", "n", "ask('serving.start')", "start", "Start an endpoint.", 1),
    Key("serving", "stop", "x", "stop", "stop", "Stop the selected endpoint (asks).", 2),
    Key(
        "serving",
        "predict",
        "p",
        "ask('serving.predict')",
        "predict",
        "Ask it for a prediction.",
        2,
    ),
    Key(
        "drift",
        "check",
        "n",
        "ask('drift.check')",
        "check",
        "Check data or predictions for drift.",
        1,
    ),
    Key(
        "audit",
        "verify",
        "v",
        "ask('audit.verify')",
        "verify",
        "Check the chain of every event.",
        1,
    ),
    Key("jobs", "cancel", "x", "cancel", "cancel", "Cancel the job; the second time kills it.", 1),
    Key("jobs", "copy", "y", "copy", "copy log", "Copy the end of its log.", 3),
    Key("jobs", "close", "escape,J,q", "close", "close", "Back to the screen.", 4),
    Key("confirm", "confirm", "y", "confirm", "do it", "Do what the title says.", 1),
    Key("confirm", "cancel", "escape,n,q", "cancel", "cancel", "Leave everything as it is.", 2),
    Key("notice", "copy", "y", "copy", "copy", "Copy the text.", 1),
    Key("notice", "close", "escape,enter,q", "close", "close", "Back to the screen.", 2),
    *_moves(
        "notice",
        cursor_down="scroll_down",
        cursor_up="scroll_up",
        scroll_top="scroll_home",
        scroll_bottom="scroll_end",
    ),
    Key(
        "form",
        "submit",
        "ctrl+r",
        "submit",
        "run",
        "Run the command; Enter in a field does too.",
        1,
    ),
    Key("form", "cancel", "escape", "cancel", "cancel", "Leave everything as it is.", 2),
    Key("filter", "keep", "enter,down", "keep", "keep", "Keep the filter and go to the lines.", 1),
    Key("welcome", "init", "i", "init", "new workspace", "Make a workspace in this folder.", 1),
    Key("welcome", "demo", "d", "demo", "demo", "See the whole life cycle on sample data.", 2),
    Key("filter", "drop", "escape", "drop", "drop", "Drop the filter.", 2),
)


def bindings(scope: str) -> list[BindingType]:
    """Return the bindings of a scope, each with its id."""
    return [
        Binding(key.keys, key.action, key.label, id=key.id, show=False, priority=False)
        for key in of(scope)
    ]


def of(*scopes: str) -> list[Key]:
    """Return the keys of the scopes, in the order of their declaration."""
    return [key for scope in scopes for key in KEYS if key.scope == scope]


def footer(scopes: Iterable[str]) -> Sequence[Key]:
    """Return the keys that the footer shows for the scopes, most important first."""
    ranked = [key for key in of(*scopes) if key.rank]
    return sorted(ranked, key=lambda key: key.rank)[:FOOTER_KEYS]
