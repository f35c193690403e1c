"""The palette: every command of the engine, and every act of the app, found by typing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from paceml_tui import keys
from paceml_tui.render import safe, styled
from paceml_tui.tasks import Asked, Request, attempt, commands

if TYPE_CHECKING:
    from textual.app import App


class Commands(Provider):
    """Offers the commands first, then what the app itself can do."""

    async def discover(self) -> Hits:
        """Offer everything while nothing is typed."""
        for name, about, act in self._offers():
            yield DiscoveryHit(styled(name), act, text=safe(name), help=safe(about))

    async def search(self, query: str) -> Hits:
        """Offer what matches in name or sentence."""
        matcher = self.matcher(query)
        for name, about, act in self._offers():
            score = max(matcher.match(name), 0.8 * matcher.match(about))
            if score > 0:
                yield Hit(score, styled(name), act, text=safe(name), help=safe(about))

    def _offers(self) -> Iterator[tuple[str, str, Callable[[], Any]]]:
        screen = self.screen
        for name, command in (attempt(commands).value or {}).items():
            shows = not command.writes or name == "serving.predict"
            asked = Asked(Request(name, shows_result=shows))
            yield name, command.summary, partial(_post, screen.app, asked)
        app = screen.app
        for key in keys.of("app"):
            if key.verb not in ("back", "palette"):
                yield f"app: {key.label}", key.help, partial(app.run_action, key.action)


def _post(app: App[Any], message: Asked) -> None:
    app.post_message(message)
