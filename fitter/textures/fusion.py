"""One texture of several pictures of a hand, in memory that does not grow with them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, Self

import numpy as np
import safetensors
import safetensors.numpy
import torch

from fitter.rendering.shading import linear_from_srgb, srgb_from_linear
from fitter.textures.atlas import TextureAtlas
from fitter.textures.filling import fill
from fitter.textures.texture import HandTexture

FusionMethod = Literal["robust_mean", "exponential"]

PRIOR_WEIGHT = 2.0
"""Pictures that the assumed spread of a texel's colours counts as."""
YIELDING = 3
"""Power of its share of the weight by which what does not agree with the rest is believed."""
FILLED = 0.1
"""Weight of a texel that no picture before has shown in the brightness of the next: what is filled
in there is that of the fitted skin, on the whole, but has no detail."""
FILLED_ERROR = 0.1
"""Difference in the logarithm of brightness that says nothing where it is seen by what is filled in
alone: skins of one palm have backs that differ so."""
LEAST_LINEAR = 2e-3
"""Linear reflectance below which ratios are not looked at."""


@dataclass(frozen=True)
class FusionOptions:
    """How pictures are fused.

    Attributes:
        method: "robust_mean", in which each picture counts by its weight and by how far it agrees
            with those before; or Seeber's "exponential" smoothing, in the order of the pictures.
        rate: of the exponential smoothing, the share of the new picture where it sees a texel with
            weight 1; Seeber averages the current texture with the previous.
        align_gain: bring each picture to the brightness and tint of those before, by the texels
            that both show, and by those that are filled in: the light of a picture is known up to
            a factor.
        spread: standard deviation of a texel's colours from picture to picture that is expected,
            sRGB in [0, 1].
        outlier: distance in standard deviations at which a picture counts a quarter.
    """

    method: FusionMethod = "robust_mean"
    rate: float = 0.5
    align_gain: bool = True
    spread: float = 0.06
    outlier: float = 2.5


class TextureFusion:
    """Fuses the textures of one hand, picture after picture.

    The result depends on the order of the pictures in the last digits alone, but for what an
    outlier does that comes first, and but for the exponential smoothing, whose nature it is.
    Left and right hands of one person may be fused, too: they have one atlas.

    ```python
    from fitter.hand_models import load_open_hand
    from fitter.textures import TextureAtlas, TextureFusion, uniform_texture

    atlas = TextureAtlas.of(load_open_hand(), 128)
    fusion = TextureFusion(atlas)
    fusion.add(uniform_texture(atlas, (0.5, 0.3, 0.2)))
    same = TextureFusion.from_bytes(atlas, fusion.to_bytes())
    assert (same.result().colours == fusion.result().colours).all()
    ```
    """

    def __init__(self, atlas: TextureAtlas, options: FusionOptions | None = None) -> None:
        """Begin without a picture.

        Args:
            atlas: of the model and the size of the textures.
            options: None is `FusionOptions()`.
        """
        self._atlas, self.options = atlas, options or FusionOptions()
        count = len(atlas.texels)
        self._weight = np.zeros(count)
        self._mean = np.zeros((count, 3))  # encoded, in which errors are about even
        self._spread = np.zeros(count)  # weighted sum of squared differences of a colour
        self._gain = np.zeros(3)  # sum of the logarithms by which pictures were multiplied
        self._pictures = 0

    @property
    def pictures(self) -> int:
        """How many were added."""
        return self._pictures

    def add(self, texture: HandTexture) -> None:
        """Add what a picture has measured; its filled texels are not looked at.

        Raises:
            ValueError: it has another size than the atlas.
        """
        if len(texture.colours) != self._atlas.size:
            raise ValueError(
                f"expected a texture of {self._atlas.size} texels, got {len(texture.colours)}"
            )
        weight = self._atlas.rows(texture.weight).astype(np.float64)
        rows = np.flatnonzero(weight > 0)
        weight = weight[rows]
        linear = self._atlas.rows(texture.colours)[rows].astype(np.float64)
        if self.options.align_gain:
            gain = self._gain_of(linear, weight, rows)
            linear = linear * np.exp(gain)
            self._gain += gain
        self._pictures += 1
        colours = _encoded(linear)
        if self.options.method == "exponential":
            self._smooth(colours, weight, rows)
        else:
            self._accumulate(colours, weight, rows)

    def result(self, counterpart: HandTexture | None = None) -> HandTexture:
        """The texture of all pictures so far, filled where none has seen it.

        Args:
            counterpart: texture of the other hand of the same person, if it was not fused into
                this one: what it has measured fills what this one has not.
        """
        scale = np.exp(-self._gain / max(self._pictures, 1))
        linear = np.clip(_linear(self._mean) * scale, 1e-3, 0.999)
        return fill(self._atlas, linear, self._weight, counterpart)

    def to_bytes(self) -> bytes:
        """The whole state, to go on later with `from_bytes` to the same bits."""
        arrays = {
            "weight": self._weight,
            "mean": self._mean,
            "spread": self._spread,
            "gain": self._gain,
        }
        facts = {"options": asdict(self.options), "pictures": self._pictures}
        # Several entries would stand in any order.
        return safetensors.numpy.save(arrays, {"fusion": json.dumps(facts)})

    @classmethod
    def from_bytes(cls, atlas: TextureAtlas, state: bytes) -> Self:
        """A fusion as it was when `to_bytes` was asked.

        Raises:
            ValueError: the state is damaged, or of another atlas.
        """
        try:
            arrays = safetensors.numpy.load(state)
            length = int.from_bytes(state[:8], "little")
            facts = json.loads(json.loads(state[8 : 8 + length])["__metadata__"]["fusion"])
            fusion = cls(atlas, FusionOptions(**facts["options"]))
            pictures = int(facts["pictures"])
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"expected the state of a texture fusion: {error}") from error
        for name in ("weight", "mean", "spread", "gain"):
            mine = getattr(fusion, f"_{name}")
            if name not in arrays or arrays[name].shape != mine.shape:
                raise ValueError(f"the state's {name} does not fit an atlas of {len(atlas.texels)}")
            setattr(fusion, f"_{name}", arrays[name].astype(np.float64))
        fusion._pictures = pictures
        return fusion

    def _gain_of(self, linear: np.ndarray, weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(3,) logarithm of the factor that brings a picture to those before it.

        A palm and a back share no texels, and the light of either alone may leave it twice as
        bright as the other. So what those before have not shown counts, too, as their skin has it:
        as far as the difference is larger than what a skin tells of its other side.
        """
        if not self._weight.any():
            return np.zeros(3)
        # Filled at the mean brightness: the skin's palm tells its back at that brightness alone.
        so_far = np.log(self._atlas.rows(self.result().colours)[rows].astype(np.float64))
        so_far += self._gain / self._pictures
        common, filled = np.minimum(self._weight[rows], 1) * weight, FILLED * weight
        ratio = so_far - np.log(np.maximum(linear, LEAST_LINEAR))
        gain = np.array([_weighted_median(each, common + filled) for each in ratio.T])
        sure = common.sum() / (common.sum() + filled.sum())
        squared = float((gain**2).mean())
        return gain * (sure + (1 - sure) * squared / (squared + FILLED_ERROR**2))

    def _smooth(self, colours: np.ndarray, weight: np.ndarray, rows: np.ndarray) -> None:
        """Seeber, "Texturing": the current texture averaged with the previous."""
        share = np.where(self._weight[rows] > 0, self.options.rate * np.minimum(weight, 1), 1.0)
        self._mean[rows] += share[:, None] * (colours - self._mean[rows])
        self._weight[rows] += weight

    def _accumulate(self, colours: np.ndarray, weight: np.ndarray, rows: np.ndarray) -> None:
        """The robust running mean, and its spread."""
        before, mean, spread = self._weight[rows], self._mean[rows], self._spread[rows]
        squared = ((colours - mean) ** 2).mean(1)
        variance = (PRIOR_WEIGHT * self.options.spread**2 + spread) / (PRIOR_WEIGHT + before)
        agreement = 1 / (1 + squared / (variance * self.options.outlier**2)) ** 2
        agreement = np.where(before > 0, agreement, 1)
        # Of two that do not agree the one that is less sure gives way; of equals, both nearly.
        total, doubt = before + weight, 1 - agreement
        new = weight * (agreement + doubt * (weight / total) ** YIELDING)
        old = before * (agreement + doubt * (before / total) ** YIELDING)
        kept = np.divide(old, before, out=np.zeros_like(old), where=before > 0)
        share = new / (old + new)
        self._mean[rows] = mean + share[:, None] * (colours - mean)
        self._spread[rows] = kept * spread + old * share * squared
        self._weight[rows] = old + new


def uniform_texture(
    atlas: TextureAtlas, colour: tuple[float, float, float], weight: float = 1.0
) -> HandTexture:
    """A texture of one colour, linear RGB, measured everywhere with one weight."""
    size = atlas.size
    certain = np.zeros(size * size, np.float32)
    certain[atlas.texels] = weight
    colours = np.broadcast_to(np.array(colour, np.float32), (size, size, 3))
    return HandTexture(np.array(colours), certain.reshape(size, size))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, 0.5 * reached[-1])])


def _encoded(linear: np.ndarray) -> np.ndarray:
    return srgb_from_linear(torch.from_numpy(np.ascontiguousarray(linear))).numpy()


def _linear(encoded: np.ndarray) -> np.ndarray:
    return linear_from_srgb(torch.from_numpy(np.ascontiguousarray(encoded))).numpy()
