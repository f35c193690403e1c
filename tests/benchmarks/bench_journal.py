"""How fast the journal takes events, and how fast the metadata store folds them.

Run it on an idle machine: ``python tests/benchmarks/bench_journal.py [SECONDS] [EVENTS]``
(writers for SECONDS each, default 5; a fold of EVENTS events, default 100,000).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from local_stack import environment
from local_stack.stores.journal import Draft, Journal
from local_stack.stores.metadata import Metadata

WRITER = """
import json, sys, time
from pathlib import Path
from local_stack.stores.journal import Draft, Journal

journal = Journal(Path(sys.argv[1]), wait_seconds=60, segment_bytes=1 << 26)
draft = Draft("bench", "note:1", {"text": "x" * 100})
end, taken = time.monotonic() + float(sys.argv[2]), []
while (start := time.monotonic()) < end:
    journal.append("bench", "bench", lambda: draft)
    taken.append(time.monotonic() - start)
print(json.dumps(taken))
"""


def new_journal(folder: Path) -> Journal:
    journal = Journal(folder, wait_seconds=60, segment_bytes=1 << 26)
    journal.create()
    return journal


def appends(folder: Path, n_writers: int, seconds: float) -> None:
    """Print throughput and latency of ``n_writers`` processes on one journal."""
    journal = new_journal(folder)
    words = [sys.executable, "-c", WRITER, str(folder), str(seconds)]
    writers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(n_writers)]
    taken = sorted(t for w in writers for t in json.loads(w.communicate()[0]))
    verdict = journal.verify()
    assert (verdict.problem, verdict.n_events) == ("", len(taken))
    p50, p95, p99 = (1000 * taken[int(len(taken) * share)] for share in (0.5, 0.95, 0.99))
    print(
        f"{n_writers} writers: {len(taken) / seconds:,.0f} events/s, "
        f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms, none lost"
    )


def folds(folder: Path, n_events: int) -> None:
    """Print how long a fold from nothing, publishing and loading take."""
    journal = new_journal(folder / "journal")
    events = iter(range(n_events))

    def row(number: int) -> dict[str, object]:
        return {"fingerprint": f"f{number % 5000}", "step": "s", "result": {"n": number}}

    # Made without a flush an event, which is not what is measured here.
    from local_stack.stores import journal as module

    real, module.os.fsync = module.os.fsync, lambda _: None  # type: ignore[attr-defined]
    try:
        for number in events:
            changes = [("steps", row(number))]
            journal.append("b", "b", lambda c=changes: Draft("bench", "s", {}, c))
    finally:
        module.os.fsync = real  # type: ignore[attr-defined]
    metadata = Metadata(journal, folder / "metadata.duckdb", folder / "cache")
    start = time.perf_counter()
    metadata.follow()
    metadata.query("SELECT count(*) AS n FROM steps")
    folded = time.perf_counter()
    metadata.publish(force=True)
    published = time.perf_counter()
    again = Metadata(journal, folder / "metadata.duckdb", folder / "cache")
    again.follow()
    loaded = time.perf_counter()
    assert again.position == metadata.position
    assert again.state_hash() == metadata.state_hash()
    print(
        f"{n_events:,} events: folded in {folded - start:.2f} s, published in "
        f"{published - folded:.2f} s, loaded again in {loaded - published:.2f} s"
    )


def main() -> None:
    """Print every figure."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    n_events = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    environment.prepare()
    with tempfile.TemporaryDirectory() as folder:
        for n_writers in (1, 4):
            appends(Path(folder) / f"journal-{n_writers}", n_writers, seconds)
        (Path(folder) / "fold").mkdir()
        folds(Path(folder) / "fold", n_events)


if __name__ == "__main__":
    main()
