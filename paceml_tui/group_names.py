"""Names of groups, cut so that they fit and can still be told apart."""

from __future__ import annotations

from collections.abc import Sequence

from paceml_tui.render import cells, styled
from paceml_tui.safe import safe

_BETWEEN = " & "
"""What stands between the parts of a combination."""
_LONGEST = 200


def short_names(names: Sequence[str], room: int) -> dict[str, str]:
    """Return each name in at most ``room`` cells, or in as many more as make all differ.

    Of a combination every part stays there: the longest are cut first.
    """
    plain = {name: [safe(part, 0) for part in name.split(_BETWEEN)] for name in names}
    for most in range(room, max(room, _LONGEST) + 1):
        found = {name: _cut(parts, most) for name, parts in plain.items()}
        if len(set(found.values())) == len({_BETWEEN.join(it) for it in plain.values()}):
            break
    return found


def _cut(parts: Sequence[str], most: int) -> str:
    sizes = [_cells(part) for part in parts]
    left = most - len(_BETWEEN) * (len(parts) - 1)
    while sum(sizes) > max(left, len(parts)):
        sizes[sizes.index(max(sizes))] -= 1
    return _BETWEEN.join(
        safe(part, size) if part else "" for part, size in zip(parts, sizes, strict=True)
    )


def _cells(text: str) -> int:
    return cells(styled(text, limit=0))
