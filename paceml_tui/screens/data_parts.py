"""A view in parts: a strip with a key for each, and one of them under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, Static

from paceml_tui.render import Text, cells, fit, join, number, safe, styled
from paceml_tui.screens.data_profile_parts import ListPart, Part
from paceml_tui.tasks import Desk
from paceml_tui.widgets.filter import FilterBar
from paceml_tui.widgets.records import WIDE
from paceml_tui.widgets.sheet import Sheet
from paceml_tui.widgets.working import ResultView


class PartsView(ResultView):
    """The result of a command in parts; a subclass lays out a strip, a switcher and the parts."""

    PARTS: ClassVar[tuple[str, ...]] = ()
    """The parts in the order of their keys, from 1."""
    FILTERED: ClassVar[str] = ""
    """The list that is filtered where no list is shown; a view without one needs no filter."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._part = self.PARTS[0]

    @property
    def part(self) -> Part | Sheet:
        """Return the part that is shown."""
        found = self.query_one(f"#{self._part}")
        assert isinstance(found, Part | Sheet)
        return found

    @property
    def listed(self) -> ListPart | None:
        """Return the list that is shown, if one is."""
        return self.part if isinstance(self.part, ListPart) else None

    def main(self) -> Widget:
        """Return what has the focus in the part that is shown."""
        return self.part.main() if isinstance(self.part, Part) else self.part

    # Going about.

    def action_part(self, name: str) -> None:
        """Show a part."""
        if self.state == "filled" and self._result:
            self.go(name)

    def action_turn(self, by: int) -> None:
        """Show the next part, or the one before."""
        present = self.present()
        place = present.index(self._part) if self._part in present else -by
        self.action_part(present[(place + by) % len(present)])

    def present(self) -> Sequence[str]:
        """Return the parts that there are of this result."""
        return self.PARTS

    def go(self, name: str) -> None:
        """Show a part, whether or not there is a result yet."""
        self._part = name
        self.query_one(ContentSwitcher).current = name
        self.query_one(".strip", Static).update(self.strip())
        self.retitle()
        self.call_after_refresh(self.arrive)

    def arrive(self) -> None:
        """Give the focus to the part that is shown now."""
        self.main().focus()

    def back(self) -> bool:
        """Go back one step within the part; return whether there was one."""
        return isinstance(self.part, Part) and self.part.back()

    def on_resize(self) -> None:
        """Bring the list back where there is room for both."""
        if self.app.size.width >= WIDE:
            for part in self.query(Part):
                part.remove_class("-detail")
        if self.state == "filled" and self._result:
            self.query_one(".strip", Static).update(self.strip())
        super().on_resize()

    def action_sort(self) -> None:
        """Sort the list by the next column."""
        if self.listed is not None:
            self.listed.sort()

    # The filter of a list.

    def action_filter(self) -> None:
        """Open the line in which a filter is typed."""
        if self.state != "filled":
            return
        if self.listed is None:
            self.action_part(self.FILTERED)
        self.part.remove_class("-detail")
        line = self.query_one(FilterBar)
        with line.prevent(Input.Changed):
            line.input.value = safe(self.listed.filter_text if self.listed else "", 0)
        line.add_class("-open")
        self.show_keys("filter")
        self.call_after_refresh(line.input.focus)

    @on(FilterBar.Typed)
    def _typed(self, event: FilterBar.Typed) -> None:
        event.stop()
        if self.listed is not None:
            self.listed.filter(event.text.strip())

    @on(FilterBar.Left)
    def _filter_left(self, event: FilterBar.Left) -> None:
        event.stop()
        self.query_one(FilterBar).remove_class("-open")
        self.show_keys(*self.SCOPES)
        if not event.is_kept:
            self.drop_filter()
        self.main().focus()

    @on(ListPart.Filtered)
    def _filtered(self, event: ListPart.Filtered) -> None:
        event.stop()
        self.retitle()

    def drop_filter(self) -> bool:
        """Show every line of the list again; return whether some were left out."""
        if self.listed is None or not self.listed.filter_text:
            return False
        self.listed.filter("")
        return True

    # The strip.

    def counts(self) -> Mapping[str, int | None]:
        """Return how much there is in some of the parts."""
        return {}

    def strip(self) -> Text:
        """Return the names of the parts, each with its key, and how much there is in it."""
        counts, present = self.counts(), self.present()
        named = [(at, it) for at, it in enumerate(self.PARTS, 1) if it in present]
        room = self.app.size.width - 4
        whole = join(*(self._tab(at, it, counts.get(it)) for at, it in named), gap="  ")
        if cells(whole) <= room:
            return whole
        names = [self._tab(at, it, None) for at, it in named]
        spaced = join(*names, gap="  ")
        return spaced if cells(spaced) <= room else fit(join(*names, gap=" "), room)

    def _tab(self, place: int, name: str, n: int | None) -> Text:
        counted = number(n) if n is not None else styled("")
        if name == self._part:
            return styled(f"{place} {name} {counted.plain}".rstrip(), "here")
        return join(styled(place, "accent"), styled(name, "quiet"), counted)
