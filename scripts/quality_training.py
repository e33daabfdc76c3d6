"""Fits the quality model to measured hands: maximum likelihood, with calibration afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from quality_hands import HAND, PHANTOM, MeasuredHands
from scipy.optimize import minimize
from torch import Tensor

from fitter.quality.features import DETECTOR, FEATURES, IMAGE, MASK, NETWORK, WEAK_3D
from fitter.quality.model import GOOD_MM, QualityModel, logit

GROUPS = (DETECTOR, WEAK_3D, NETWORK, MASK, IMAGE)
"""What may be unknown together."""


@dataclass(frozen=True)
class TrainingOptions:
    """Of the networks; chosen by cross-validation on the training scenes.

    Attributes:
        members: networks whose mean is the model.
        units: of the hidden layer.
        steps: of Adam over all hands at once, with the learning rate falling along a cosine.
        rate: its first learning rate.
        decay: weight decay.
        dropped: probability that a group of features of a hand is hidden from the network.
        jitter: standard deviation of what is added to standardised features.
    """

    members: int = 6
    units: int = 16
    steps: int = 400
    rate: float = 0.02
    decay: float = 0.02
    dropped: float = 0.07
    jitter: float = 0.1


def train(hands: MeasuredHands, options: TrainingOptions, seed: int = 0) -> QualityModel:
    """A model of measured hands, not calibrated.

    Args:
        hands: those of kind UNKNOWN take no part.
        options: of the networks.
        seed: of their first weights and of what is hidden from them.
    """
    hands = hands[hands.kind <= PHANTOM]
    model = _untrained(hands.features, options, np.random.default_rng(seed))
    # The error of what is no hand is never looked at, but has to be a number.
    target = torch.from_numpy(np.where(hands.kind == HAND, hands.error_mm, 1.0))
    is_hand = torch.from_numpy(hands.kind == HAND)
    values = torch.from_numpy(model.inputs(hands.features))
    names = ("hidden", "hidden_bias", "output", "output_bias", "skip")
    weights = {name: torch.from_numpy(getattr(model, name)).requires_grad_() for name in names}
    optimiser = torch.optim.AdamW(weights.values(), options.rate, weight_decay=options.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(options.steps):
        seen = _hidden_groups(values, options, generator)
        said = torch.einsum("ebf,efh->beh", seen, weights["hidden"]) + weights["hidden_bias"]
        said = torch.einsum("beh,eho->beo", said.tanh(), weights["output"])
        said = said + weights["output_bias"] + torch.einsum("ebf,efo->beo", seen, weights["skip"])
        loss = _negative_log_likelihood(said, target[:, None], is_hand[:, None]).mean(0).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    trained = {name: tensor.detach().numpy() for name, tensor in weights.items()}
    return replace(model, **trained)


def _untrained(
    features: np.ndarray, options: TrainingOptions, rng: np.random.Generator
) -> QualityModel:
    known = np.where(np.isfinite(features), features, np.nan)
    # A feature that nobody has yet, such as what further networks say, stays unknown.
    never = np.isnan(known).all(0)
    known[:, never] = 0.0
    low, high = np.nanquantile(known, [0.005, 0.995], axis=0)
    clipped = known.clip(low, high)
    mean, scale = np.nanmean(clipped, 0), np.nanstd(clipped, 0)
    count, (e, h) = 2 * len(FEATURES), (options.members, options.units)
    return QualityModel(
        mean=np.where(never, np.nan, mean),
        scale=np.where(scale > 1e-9, scale, 1.0),
        low=low,
        high=high,
        hidden=rng.normal(0, count**-0.5, (e, count, h)),
        hidden_bias=np.zeros((e, h)),
        output=rng.normal(0, 0.1 * h**-0.5, (e, h, 3)),
        output_bias=np.tile([np.log(8.0), np.log(0.25), 1.0], (e, 1)),
        skip=np.zeros((e, count, 3)),
        calibration=np.array([1.0, 0.0]),
    )


def _hidden_groups(values: Tensor, options: TrainingOptions, generator: torch.Generator) -> Tensor:
    """(E, B, 2 F) inputs as each network sees them: noisy, and some groups of features unknown."""
    half = len(FEATURES)
    shape = (options.members, len(values))
    known, unknown = values[:, :half], values[:, half:]
    noise = torch.randn(*shape, half, generator=generator, dtype=values.dtype)
    hidden = unknown.expand(*shape, half).clone()
    for group in GROUPS:
        columns = [FEATURES.index(name) for name in group]
        drop = torch.rand(shape, generator=generator) < options.dropped
        hidden[..., columns] = torch.maximum(hidden[..., columns], drop[..., None].to(hidden))
    return torch.cat([(known + options.jitter * noise) * (1 - hidden), hidden], -1)


def _negative_log_likelihood(said: Tensor, target: Tensor, is_hand: Tensor) -> Tensor:
    """(B, E) of being a hand with a log-logistic error, or of being none.

    With ``z = (log e - m) / s`` the density of log e is ``exp(-z) / (s (1 + exp(-z))^2)``; the
    probability of a hand is ``sigmoid(h)``.

    Args:
        said: (B, E, 3) m, log s and h.
        target: (B, E) or alike, errors in mm.
        is_hand: of the shape of `target`, bool.
    """
    middle, log_scale, hand = said.unbind(-1)
    z = (target.log() - middle) / log_scale.exp()
    softplus = torch.nn.functional.softplus
    error = z + log_scale + 2 * softplus(-z)
    return torch.where(is_hand, softplus(-hand) + error, softplus(hand))


def calibrated(
    model: QualityModel, held_out: list[tuple[QualityModel, MeasuredHands]]
) -> QualityModel:
    """The model with the logit's slope and shift that suit hands which models of other folds have
    not seen (Platt, "Probabilistic outputs for support vector machines", 1999)."""
    z, good = [], []
    for other, hands in held_out:
        hands = hands[hands.kind <= PHANTOM]
        z.append(logit(other(hands.features).probability))
        good.append(is_good(hands))
    logits, labels = np.concatenate(z), np.concatenate(good)

    def loss(line: np.ndarray) -> float:
        raised = line[0] * logits + line[1]
        return float(np.mean(np.logaddexp(0, raised) - labels * raised))

    return replace(model, calibration=minimize(loss, np.array([1.0, 0.0])).x)


def is_good(hands: MeasuredHands) -> np.ndarray:
    """(N,) bool: a hand whose error is below the bound of the score."""
    return (hands.kind == HAND) & (np.nan_to_num(hands.error_mm, nan=np.inf) < GOOD_MM)


def folds(hands: MeasuredHands, count: int = 5) -> list[np.ndarray]:
    """(N,) bool a fold: the hands of every `count`-th scene, so that no scene is in two."""
    return [hands.scene % count == number for number in range(count)]
