"""What the quality model is worth on measured hands: figures, a table and the reliability plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from quality_hands import HAND, MODES, PHANTOM, MeasuredHands
from quality_training import is_good
from scipy.stats import rankdata, spearmanr

from datasets.keypoint_states import VISIBLE
from fitter.quality.model import Quality

BINS = 10
"""Of the reliability plot, each with as many hands."""


@dataclass(frozen=True)
class JudgedSet:
    """Measured hands and what a model that has not seen them says."""

    hands: MeasuredHands
    quality: Quality

    def of_mode(self, mode: str) -> JudgedSet:
        """The hands that were fitted in one way."""
        return self.where(self.hands.mode == MODES.index(mode))

    def where(self, chosen: np.ndarray) -> JudgedSet:
        """Some of the hands, (N,) bool."""
        quality = Quality(*(values[chosen] for values in vars(self.quality).values()))
        return JudgedSet(self.hands[chosen], quality)


def figures(judged: JudgedSet) -> dict[str, Any]:
    """Figures of one set; errors in mm of hands alone, scores of phantoms too."""
    known = judged.where(judged.hands.kind <= PHANTOM)
    hands = known.where(known.hands.kind == HAND)
    error, score = hands.hands.error_mm, hands.quality.probability
    ranked = error[np.argsort(-score, kind="stable")]
    good, probability = is_good(known.hands), known.quality.probability
    phantoms = probability[known.hands.kind == PHANTOM]
    return {
        "hands": len(error),
        "error_mm": _rounded(error.mean()),
        "best_80_mm": _rounded(ranked[: round(0.8 * len(error))].mean()),
        "best_50_mm": _rounded(ranked[: round(0.5 * len(error))].mean()),
        "spearman": _rounded(spearmanr(score, error).statistic),
        "spearman_of_predicted_error": _rounded(
            -spearmanr(hands.quality.error_mm, error).statistic
        ),
        "good_share": _rounded(good.mean()),
        "mean_score": _rounded(probability.mean()),
        "brier": _rounded(np.mean((probability - good) ** 2)),
        "brier_of_constant": _rounded(good.mean() * (1 - good.mean())),
        "calibration_error": _rounded(calibration_error(probability, good)),
        "phantoms": len(phantoms),
        "phantoms_from_0.3": int((phantoms >= 0.3).sum()),
        "phantoms_from_0.1": int((phantoms >= 0.1).sum()),
    }


def visibility_figures(hands: MeasuredHands) -> dict[str, float]:
    """Of hands as the command fits them, against the renders' truth; average precision of finding
    the keypoints that are seen and those that are not, over all keypoints."""
    chosen = (hands.kind == HAND) & (hands.mode == 0)
    seen = (hands.states[chosen] == VISIBLE).ravel()
    said = hands.visibility[chosen].ravel().astype(float)
    return {
        "keypoints": len(seen),
        "hidden_share": _rounded(1 - seen.mean()),
        "ap_visible": _rounded(average_precision(seen, said)),
        "ap_hidden": _rounded(average_precision(~seen, -said)),
        "auc": _rounded(roc_auc(seen, said)),
        "brier": _rounded(np.mean((said - seen) ** 2)),
    }


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Sum over thresholds of precision times what recall gains there; equal scores at once.

    Args:
        labels: (N,) bool; scores: (N,), higher for what should be True.
    """
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.cumsum(labels[order]), scores[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    precision = hits[last] / (np.flatnonzero(last) + 1)
    recall = hits[last] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Probability that a True has the higher score than a False (Mann and Whitney, 1947)."""
    ones = int(labels.sum())
    ranks = rankdata(scores)[labels].sum()
    return float((ranks - ones * (ones + 1) / 2) / (ones * (len(labels) - ones)))


def reliability(probability: np.ndarray, good: np.ndarray) -> list[tuple[float, float, int]]:
    """Mean score, share of good hands and number of hands, in `BINS` bins of as many hands."""
    order = np.argsort(probability, kind="stable")
    return [
        (float(probability[part].mean()), float(good[part].mean()), len(part))
        for part in np.array_split(order, BINS)
        if len(part)
    ]


def calibration_error(probability: np.ndarray, good: np.ndarray) -> float:
    """Mean distance of score and share of good hands over the bins of `reliability`."""
    bins = reliability(probability, good)
    return sum(abs(said - found) * count for said, found, count in bins) / len(probability)


def table(sets: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Figures as a Markdown table, one column a set."""
    head = f"| | {' | '.join(sets)} |\n| --- |{' --- |' * len(sets)}\n"
    rows = [f"| {name} | {' | '.join(str(s[name]) for s in sets.values())} |" for name in names]
    return head + "\n".join(rows) + "\n"


def plot(sets: Mapping[str, JudgedSet], path: Path) -> None:
    """The reliability of the score, and the error of the hands that are kept by score."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    left.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, judged in sets.items():
        known = judged.where(judged.hands.kind <= PHANTOM)
        good = is_good(known.hands)
        said, found, counts = zip(*reliability(known.quality.probability, good), strict=True)
        spread = np.sqrt(np.array(found) * (1 - np.array(found)) / np.array(counts))
        left.errorbar(said, found, spread, marker="o", markersize=4, capsize=2, label=name)
        hands = known.where(known.hands.kind == HAND)
        ranked = hands.hands.error_mm[np.argsort(-hands.quality.probability, kind="stable")]
        kept = np.arange(1, len(ranked) + 1)
        first = len(ranked) // 20
        right.plot((kept / len(ranked))[first:], (ranked.cumsum() / kept)[first:], label=name)
    left.set(xlabel="score", ylabel="share with an error below 10 mm", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="share of hands kept, best scores first", ylabel="their mean error, mm")
    right.set(xlim=(0, 1), ylim=(0, None))
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.grid(alpha=0.25)
    # No date and no version in the file, so that the same figures give the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _rounded(value: float) -> float:
    return round(float(value), 4)
