"""Labels that are probably wrong: confident learning for classes, residuals for numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.data.assessing.models import NAMES, Trial
from local_stack.data.assessing.rules import Docket, counted
from local_stack.data.assessing.subject import Subject
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np

MOST_SUSPECTS = 1_000
_FAR = 6.0
_MAD_TO_SIGMA = 1.482602218505602
_TOLERANCE = 1e-6
_SEPARABLE = {"roc_auc": (0.9, 0.97), "accuracy": (0.8, 0.95)}


@dataclass(frozen=True, slots=True)
class Suspect(Result):
    """A row whose target is in doubt: what it says, what its like say, and how surely.

    ``score`` is the normalised margin (the probability of the given class less that of the best
    other one, in [-1, 1]) of a class, and the robust z of the residual of a number; the worst
    come first.
    """

    row: int
    given: str
    suggested: str
    score: float


@dataclass(frozen=True, slots=True)
class LabelNoise(Result):
    """How many targets are in doubt, judged by the out-of-fold predictions of ``model``.

    ``share`` is the estimated share of wrong labels (the off-diagonal of the calibrated
    confident joint; of numbers, the share of residuals beyond 6 robust standard deviations).
    ``joint`` has given classes as rows and likely ones as columns, and sums to 1.
    """

    method: str
    model: str
    share: float
    n_rows: int
    n_suspects: int
    suspects: tuple[Suspect, ...]
    classes: tuple[str, ...] = ()
    joint: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Confidence:
    """The confident joint of Northcutt et al. and what follows from it.

    ``counts`` are the rows of given class (axis 0) and confident class (axis 1); ``joint`` is
    calibrated to the given classes' counts and sums to 1; ``likely`` is the confident class of
    each row, -1 where none reaches its threshold. ``suspects`` numbers the rows pruned by noise
    rate (the paper's PBNR: of each given class, for each other one, as many as the joint says),
    the lowest normalised margin first, and ``margins`` holds theirs.
    """

    counts: np.ndarray
    joint: np.ndarray
    likely: np.ndarray
    suspects: np.ndarray
    margins: np.ndarray


def confident_learning(y: np.ndarray, probability: np.ndarray) -> Confidence:
    """Find labels in doubt by confident learning.

    Northcutt, Jiang, Chuang (2021), "Confident learning: estimating uncertainty in dataset
    labels", JAIR 70: the threshold of a class is the mean probability of that class over the
    rows that were given it; a row belongs to the most probable class whose threshold it reaches.

    Parameters
    ----------
    y
        Given classes 0 .. n_classes - 1, shape (n_rows,).
    probability
        Out-of-fold probabilities, shape (n_rows, n_classes), rows summing to 1.
    """
    import numpy as np

    n_rows, n_classes = probability.shape
    counts = np.bincount(y, minlength=n_classes).astype(np.float64)
    own = probability[np.arange(n_rows), y]
    thresholds = np.ones(n_classes)
    present = counts > 0
    thresholds[present] = np.bincount(y, own, minlength=n_classes)[present] / counts[present]
    reached = probability >= thresholds - _TOLERANCE
    likely = np.where(reached, probability, -1.0).argmax(axis=1)
    likely = np.where(reached.any(axis=1), likely, -1)
    sure = likely >= 0
    joint = np.zeros((n_classes, n_classes))
    np.add.at(joint, (y[sure], likely[sure]), 1)
    diagonal = np.arange(n_classes)
    joint[diagonal, diagonal] = np.maximum(joint[diagonal, diagonal], 1)  # as in the reference
    calibrated = joint / joint.sum(axis=1, keepdims=True) * counts[:, None]
    margins = _margins(y, probability, own)
    suspects = np.flatnonzero(_pruned(y, probability, calibrated) & (margins < 0))
    suspects = suspects[np.argsort(margins[suspects], kind="stable")]
    return Confidence(joint, calibrated / calibrated.sum(), likely, suspects, margins[suspects])


def _pruned(y: np.ndarray, probability: np.ndarray, calibrated: np.ndarray) -> np.ndarray:
    """Return whether a row is among those of its class that are most like another one."""
    import numpy as np

    chosen = np.zeros(len(y), dtype=bool)
    for given in range(len(calibrated)):
        rows = np.flatnonzero(y == given)
        for other, n_wrong in enumerate(_whole(calibrated[given])):
            if other != given and n_wrong > 0:
                more = probability[rows, other] - probability[rows, given]
                chosen[rows[np.argsort(-more, kind="stable")[:n_wrong]]] = True
    return chosen


def _whole(counts: np.ndarray) -> list[int]:
    """Return counts as whole numbers of the same sum, by largest remainders."""
    import numpy as np

    whole = np.floor(counts).astype(np.int64)
    missing = round(float(counts.sum())) - int(whole.sum())
    whole[np.argsort(whole - counts, kind="stable")[: max(0, missing)]] += 1
    return [int(it) for it in whole]


def _margins(y: np.ndarray, probability: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the probability of the given class less that of the best other one."""
    import numpy as np

    others = probability.copy()
    others[np.arange(len(y)), y] = -np.inf
    return np.asarray(own - others.max(axis=1))


def judge_labels(docket: Docket, subject: Subject, trial: Trial, metric: str) -> LabelNoise | None:
    """Judge the targets by a model's out-of-fold predictions; None when there are none."""
    import numpy as np

    tested = np.isfinite(trial.predicted).reshape(subject.n_rows, -1).all(axis=1)
    places = np.flatnonzero(tested)
    if len(places) < 50:
        return None
    if subject.is_regression:
        return _judge_numbers(docket, subject, trial, places)
    return _judge_classes(docket, subject, trial, places, metric)


def _judge_classes(
    docket: Docket, subject: Subject, trial: Trial, places: np.ndarray, metric: str
) -> LabelNoise:
    import numpy as np

    found = confident_learning(subject.y[places], trial.predicted[places])
    share = float(1 - np.trace(found.joint))
    classes = tuple(str(it)[:200] for it in subject.classes)
    suspects = [
        Suspect(
            int(subject.rows[places[at]]),
            classes[subject.y[places[at]]],
            classes[_other(trial.predicted[places[at]], int(subject.y[places[at]]))],
            float(margin),
        )
        for at, margin in zip(found.suspects[:MOST_SUSPECTS], found.margins, strict=False)
    ]
    reached = float(np.mean(trial.values(metric) or [0.0]))
    unclear, clear = _SEPARABLE[metric]
    at_most = "high" if reached >= clear else "medium" if reached >= unclear else "low"
    tells = (
        "the classes are well apart, so most of these labels are worth a look"
        if at_most == "high"
        else "the classes overlap, so many of these are hard rows rather than wrong labels"
    )
    docket.note(
        "label_noise",
        share,
        f"About {share:.1%} of the labels are in doubt "
        f"({counted(len(found.suspects), 'row')} listed); "
        f"{trial.model} reaches {NAMES[metric]} {reached:.3f}: {tells}.",
        column=subject.target,
        at_most=at_most,
        evidence=subject.evidence(
            places[found.suspects[:MOST_SUSPECTS]], lambda nth: _doubt(suspects[nth])
        ),
    )
    return LabelNoise(
        method="confident learning (Northcutt et al. 2021), ranked by normalised margin",
        model=trial.model,
        share=share,
        n_rows=len(places),
        n_suspects=len(found.suspects),
        suspects=tuple(suspects),
        classes=classes if len(classes) <= 50 else (),
        joint=tuple(map(tuple, found.joint.tolist())) if len(classes) <= 50 else (),
    )


def _doubt(suspect: Suspect) -> str:
    return f"given {suspect.given}, more like {suspect.suggested} ({suspect.score:+.2f})"


def _other(probability: np.ndarray, given: int) -> int:
    """Return the most probable class that is not the given one."""
    order = probability.argsort()[::-1]
    return int(order[0] if order[0] != given else order[1])


def robust_z(residual: np.ndarray) -> np.ndarray:
    """Return residuals less their median, in units of 1.4826 median absolute deviations."""
    import numpy as np

    centred = residual - np.median(residual)
    scale = _MAD_TO_SIGMA * float(np.median(np.abs(centred)))
    if not scale:
        scale = float(np.std(centred)) or 1.0
    return np.asarray(centred / scale)


def _judge_numbers(
    docket: Docket, subject: Subject, trial: Trial, places: np.ndarray
) -> LabelNoise:
    import numpy as np

    truth, predicted = subject.y[places], trial.predicted[places]
    z = robust_z(truth - predicted)
    order = np.argsort(-np.abs(z), kind="stable")
    far = order[np.abs(z[order]) >= _FAR]
    share = len(far) / len(places)
    suspects = tuple(
        Suspect(
            int(subject.rows[places[at]]),
            f"{truth[at]:.6g}",
            f"{predicted[at]:.6g}",
            float(z[at]),
        )
        for at in far[:MOST_SUSPECTS]
    )
    docket.note(
        "target_outliers",
        share,
        f"{counted(len(far), 'row')} ({share:.2%}) {'lies' if len(far) == 1 else 'lie'} more than "
        f"{_FAR:g} robust standard deviations "
        f"from what {trial.model} predicts out of fold.",
        column=subject.target,
        evidence=subject.evidence(
            places[far[:MOST_SUSPECTS]],
            lambda nth: f"given {suspects[nth].given}, predicted {suspects[nth].suggested}",
        ),
    )
    return LabelNoise(
        method=f"out-of-fold residuals beyond {_FAR:g} robust standard deviations",
        model=trial.model,
        share=share,
        n_rows=len(places),
        n_suspects=len(far),
        suspects=suspects,
    )
