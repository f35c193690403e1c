"""Alerts beside those of another version: which are new, and which are gone."""

from __future__ import annotations

from collections.abc import Sequence

from local_stack.data.profiling.shape import Alert, AlertChanges


def changes_of(
    alerts: Sequence[Alert], previous: Sequence[Alert], reference: str | None
) -> AlertChanges:
    """Compare alerts by what they are about, not by their figures.

    Parameters
    ----------
    alerts, previous
        The alerts of a version and of the one before it.
    reference
        The version before; None when there is none, and then nothing is new.
    """
    if reference is None:
        return AlertChanges()
    now, before = {alert.key for alert in alerts}, {alert.key for alert in previous}
    return AlertChanges(
        previous=reference,
        new=tuple(alert for alert in alerts if alert.key not in before),
        resolved=tuple(alert for alert in previous if alert.key not in now),
        n_same=len(now & before),
    )
