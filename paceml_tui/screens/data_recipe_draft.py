"""A recipe while it is changed: its text, the step one is at, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from paceml_tui.screens.data_recipe_steps import BEGUN, SOURCE, Kept

if TYPE_CHECKING:
    from local_stack.data.recipes.outline import Outline


class Draft:
    """The text that is worked on, which may not have been tried yet.

    ``at`` is the place of the step that one is at, from 0. ``n_known`` is the newest number that
    was stored when the draft was begun.
    """

    def __init__(self) -> None:
        self.kept = Kept(0, 0, "")
        self.text = ""
        self.at = 0
        self.n_known = 0
        self._before: list[tuple[str, int]] = []

    @property
    def is_changed(self) -> bool:
        """Return whether there is something that was not saved."""
        return self.text != self.kept.text

    @property
    def is_overtaken(self) -> bool:
        """Return whether somebody has stored a recipe since the draft was begun."""
        return self.kept.n_numbers != self.n_known

    def begin(self, kept: Kept, *, is_held: bool) -> bool:
        """Work on a stored recipe from now on; return whether its text is another one.

        A text that is not saved, or ``is_held`` by an editor, stays as it is; only the count of
        stored recipes is noted.
        """
        if self.is_changed or is_held:
            self.kept = Kept(self.kept.number, kept.n_numbers, self.kept.text)
            return False
        is_other = kept.text != self.kept.text
        self.kept, self.n_known = kept, kept.n_numbers
        if is_other:
            self.text = kept.text
            self._before.clear()
        return is_other

    def forget(self) -> None:
        """Drop the text: it is stored now."""
        self.kept, self.text = Kept(0, 0, ""), ""

    def put(self, text: str, at: int) -> None:
        """Put another text in the place of the one there is."""
        self._before.append((self.text, self.at))
        self.text, self.at = text, at

    def undo(self) -> bool:
        """Take the last change back; return whether there was one."""
        if not self._before:
            return False
        self.text, self.at = self._before.pop()
        return True

    def outline(self) -> Outline:
        """Return the steps of the text.

        Raises
        ------
        InputError
            The text is no recipe.
        """
        from local_stack.data.recipes.outline import outline_of

        return outline_of(self.text or BEGUN, SOURCE)

    def change(self, change: Callable[[Outline], Outline], at: int) -> None:
        """Put a changed outline in the place of the text, and be at step ``at`` then."""
        self.put(change(self.outline()).text, at)

    def add(self, step: str) -> None:
        """Put a step that was typed behind the one that one is at."""
        at = min(self.at + 1, len(self.outline().entries))
        self.change(lambda it: it.inserted(at, step), at)

    def edit(self, step: str) -> None:
        """Put a step that was typed in the place of the one that one is at."""
        at = self.at
        self.change(lambda it: it.changed(at, step), at)
