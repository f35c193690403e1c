"""LightGBM on the workers of a Dask cluster, each with the rows that lie there."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from local_stack.progress import Progress, Step
from local_stack.runs.boosting import BOOSTER
from local_stack.runs.cluster.client import CONNECT_SECONDS, Cluster, Sent
from local_stack.runs.cluster.tasks import end_if_unwanted

_LOOK_SECONDS = 0.5
_GRACE_SECONDS = 2.0


def boosted(
    cluster: Cluster,
    parts: Sequence[tuple[Sent, Sent, Sent | None, int]],
    *,
    n_features: int,
    params: Mapping[str, Any],
    names: Sequence[str],
    categories: Sequence[int],
    progress: Progress,
) -> Any:
    """Return the ``lightgbm.Booster`` that LightGBM's Dask estimator learns from placed parts.

    It is always the regressor, whose objective may be one of classes: the classifier would
    number the classes of each worker for itself.

    Parameters
    ----------
    parts
        Matrix, truth and weights (of all parts or of none), and how many rows it has.
    params
        Under LightGBM's own names.
    names, categories
        What the features are called, and the places of those that are categories.

    Raises
    ------
    Lost
        A worker that has a part is gone, and with it the training.
    lightgbm.basic.LightGBMError, ValueError
        LightGBM refuses the parameters or the data.
    """
    import dask.array
    import lightgbm

    def stacked(place: int) -> Any:
        if parts[0][place] is None:
            return None
        more = (n_features,) if place == 0 else ()
        futures = [(cast("Sent", part[place]).future, (part[3], *more)) for part in parts]
        return dask.array.concatenate(
            [dask.array.from_delayed(it, shape, dtype="float64") for it, shape in futures]
        )

    params = {key: value for key, value in params.items() if key != "num_threads"}
    n_rounds = int(params.pop("num_iterations", BOOSTER.defaults["n_estimators"]))
    topic, rounds = f"paceml-{secrets.token_hex(8)}", [0]
    estimator = lightgbm.DaskLGBMRegressor(client=cluster.client, n_estimators=n_rounds, **params)

    def work() -> Any:
        with cluster.client.as_current():
            estimator.fit(
                stacked(0),
                stacked(1),
                sample_weight=stacked(2),
                feature_name=list(names),
                categorical_feature=list(categories),
                callbacks=[_Rounds(topic)],
            )
        return estimator.booster_

    def tell() -> None:
        progress(Step("Training on the cluster", max(rounds), n_rounds))

    cluster.client.subscribe_topic(topic, lambda event: rounds.append(int(event[1])))
    return cluster.watched(work, tell)


class _Rounds:
    """Tells the client of each boosting round; ends the training when it is not wanted any more.

    It is sent to the workers, which call it.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._is_watched = False

    def __call__(self, environment: Any) -> None:
        import distributed
        from distributed.worker import thread_state

        worker = distributed.get_worker()
        if not self._is_watched:
            self._is_watched = True
            ports = [int(it.rpartition(":")[2]) for it in environment.params["machines"].split(",")]
            threading.Thread(
                target=_break_off, args=(worker, thread_state.key, ports), daemon=True
            ).start()
        end_if_unwanted()
        worker.log_event(self._topic, environment.iteration + 1)


def _break_off(worker: Any, key: Any, ports: Sequence[int]) -> None:
    """Wake this worker's part of a training that waits for others which have ended theirs.

    Workers hear at different rounds that a training is cancelled. LightGBM waits for whoever has
    left it, for hours, and takes the end of a connection for no data yet: so its sockets, which
    are at ``ports`` here or there, are taken from under it.
    """
    import psutil

    since = None
    while (task := worker.state.tasks.get(key)) is not None:
        if task.state in ("cancelled", "resumed"):  # its thread is still at it
            since = since or time.monotonic()
            if time.monotonic() > since + _GRACE_SECONDS:
                break
        elif task.state != "executing":
            return
        time.sleep(_LOOK_SECONDS)
    else:
        return
    nothing = os.open(os.devnull, os.O_RDWR)
    for one in psutil.Process().net_connections("tcp"):
        ends = {end.port for end in (one.laddr, one.raddr) if end}
        if ends.isdisjoint(ports) or one.status == psutil.CONN_LISTEN:
            continue
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(one.fd)) as held:
            os.dup2(nothing, one.fd)  # what is asked of it next is an error
            held.shutdown(socket.SHUT_RDWR)  # what waits for it goes on
    os.close(nothing)


def forget_networks(cluster: Cluster) -> None:
    """Make every thread of the workers forget a training that broke off."""
    gate = secrets.token_hex(8)
    for address, n_threads in cluster.threads().items():
        freed = [
            cluster.derive(_free_network, gate, n_threads, on=address) for _ in range(n_threads)
        ]
        cluster.settle(*freed)


_gates: dict[str, threading.Barrier] = {}


def _free_network(gate: str, n_threads: int) -> None:
    """Make a thread of a worker forget a training with others that broke off.

    LightGBM keeps its connections by thread, so each of them waits for the others here.
    """
    from lightgbm.basic import _LIB

    barrier = _gates.setdefault(gate, threading.Barrier(n_threads))
    with contextlib.suppress(threading.BrokenBarrierError):  # one of them is busy with other work
        barrier.wait(CONNECT_SECONDS)
    _LIB.LGBM_NetworkFree()
