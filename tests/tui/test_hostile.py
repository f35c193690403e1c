"""Hostile names everywhere: nothing crashes, and nothing of them reaches a real terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
import unicodedata
from pathlib import Path

import pytest
from conftest import LARGE, SMALL, all_text, running, settle
from textual.widgets import Input

from paceml_tui.keys import WORDS

PAYLOADS = (
    b"[/nope]\x1b",
    b"\x1b]0;owned",
    b"\x1b]52;c;b3duZWQ=",
    b"\x9b31mC1",
    *(text.encode() for text in ("\u202e", "\u200b", "\u2060", "\ufeff", "\u200d", "\x9b31m")),
)


def assert_harmless(shown: str) -> None:
    bad = {c for c in shown if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")}
    assert bad == set()


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x45"])
async def test_no_screen_crashes_or_obeys(size: tuple[int, int], hostile: Path) -> None:
    async with running(hostile, size) as pilot:
        for place, word in enumerate(WORDS, 1):
            await pilot.press(str(place))
            await settle(pilot)
            page = pilot.app.page  # type: ignore[attr-defined]
            assert page.state == "filled", word
            assert_harmless(all_text(pilot))
            if word == "tower" or size == LARGE:  # where list and detail are shown already
                continue
            is_first = word == "data"
            for _ in range(len(page.listing.rows) if is_first else 1):
                await pilot.press("enter")
                await settle(pilot)
                assert_harmless(all_text(pilot))
                await pilot.press("escape", "j")
            await pilot.press("s", "y", "c")
            await settle(pilot)
            assert_harmless(all_text(pilot))
            await pilot.press("escape", "question_mark", "escape")
            await settle(pilot)
        await pilot.press("J", "j", "j")
        await settle(pilot)
        assert_harmless(all_text(pilot))
        await pilot.press("enter")
        await settle(pilot)
        assert_harmless(all_text(pilot))


async def test_hostile_filters_and_pasted_text_are_harmless(hostile: Path) -> None:
    async with running(hostile, SMALL, "3 slash") as pilot:
        for text in ("[/nope]\x1b[2J", "\u202e", "' OR 1=1 --", "%_\\", "metrics.`[/x]\x1b` > 1"):
            pilot.app.query_one("#runs FilterBar Input", Input).value = text
            await settle(pilot)
            assert pilot.app.page.state in ("filled", "empty")  # type: ignore[attr-defined]
            assert_harmless(all_text(pilot))


async def test_hostile_values_are_harmless_in_forms_and_questions(hostile: Path) -> None:
    async with running(hostile, SMALL) as pilot:
        for keys in ("2 T", "3 r", "4 n", "5 P", "6 p", "6 n", "6 x", "7 n"):
            for key in keys.split():
                await pilot.press(key)
                await settle(pilot)
            assert len(pilot.app.screen_stack) == 2, keys
            assert_harmless(all_text(pilot))
            await pilot.press("escape")
            await settle(pilot)


def on_a_pty(root: Path, pressed: list[str]) -> bytes:
    """Run the app on a terminal of its own, press keys one by one, and return what it wrote."""
    code = "import sys, pathlib; from paceml_tui.app import run; run(pathlib.Path(sys.argv[1]))"
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", PYTHONUTF8="1")
        os.execv(sys.executable, [sys.executable, "-c", code, str(root)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    written = bytearray()

    def listen(seconds: float, quiet: float) -> None:
        end, last = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() < end and (time.monotonic() - last < quiet or not written):
            if select.select([terminal], [], [], 0.05)[0]:
                try:
                    written.extend(os.read(terminal, 65536))
                except OSError:  # the app has ended
                    return
                last = time.monotonic()

    listen(30, 0.7)
    for key in pressed:
        os.write(terminal, key.encode())
        listen(5, 0.5 if key == "\x1b" else 0.12)  # escape and a key read at once are alt and key
    for _ in range(60):
        with contextlib.suppress(OSError):  # it has closed the terminal and is about to end
            os.write(terminal, b"q")
        listen(1, 1)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.2)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail(f"q did not end the app; its last words: {bytes(written[-3000:])!r}")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    return bytes(written)


def test_no_payload_reaches_a_real_terminal(hostile: Path) -> None:
    written = on_a_pty(hostile, [*"2\r3\r4\r", "\x1b", *"5\r6\r7\r8\rJ", "\x1b"])
    assert "[/nope]␛[2J".encode() in written  # it was shown
    for payload in PAYLOADS:
        assert payload not in written
