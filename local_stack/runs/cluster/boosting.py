"""LightGBM on the workers of a Dask cluster, each with the rows that lie there."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

from local_stack.progress import Progress, Step
from local_stack.runs.boosting import BOOSTER
from local_stack.runs.cluster.client import CONNECT_SECONDS, Cluster, Sent
from local_stack.runs.cluster.tasks import end_if_unwanted


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

    def __call__(self, environment: Any) -> None:
        import distributed

        end_if_unwanted()
        distributed.get_worker().log_event(self._topic, environment.iteration + 1)


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
