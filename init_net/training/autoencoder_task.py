"""What a `HandAutoencoder` learns: S2HAND (Chen et al. 2021) 3.4 and 4.2, Zhao 3.5 and 4.3.

Of pictures alone and what the detector saw in them, of true keypoints in 2D, or of all that is true
(`SupervisionConfig` and the losses that count say which).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from init_net.hand_decoder import HandDecoder
from init_net.hand_pictures import draw_hands
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.training.autoencoder_evaluation import AutoencoderErrors, autoencoder_inputs
from init_net.training.autoencoder_terms import AutoencoderTerms, Targets
from init_net.training.freezing import said
from init_net.training.pictures import captioned, crop_pictures
from init_net.training.plan import Stage
from init_net.training.sample_tasks import ImageTask, by_set

if TYPE_CHECKING:
    from init_net.networks.autoencoder import HandAutoencoder


class AutoencoderTask(ImageTask):
    """A `HandAutoencoder`: of what a stage leaves out there is no loss and no figure."""

    def __init__(self, *arguments: Any) -> None:
        """As `ImageTask`."""
        super().__init__(*arguments)
        self._decoder = HandDecoder(cast("HandAutoencoder", self.network).config).to(self._device)
        self._terms = AutoencoderTerms(self._decoder, self.config.supervised)
        if self._decoder.model.data.keypoint_offsets is None:
            # MANO and NIMBLE have joints and fingertips, and are compared with these.
            self._cropper = replace(self._cropper, marks=False)
            self._held_out = replace(self._held_out, marks=False)
            self._apart = {name: replace(each, marks=False) for name, each in self._apart.items()}

    def losses(self, batch: CropSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        asked = [name for name, weight in self.plan.at(step).losses.items() if weight > 0]
        found = self._said(autoencoder_inputs(batch), step)
        # What the detector saw counts by each keypoint's confidence, as S2HAND has it; how sure it
        # is of the hand would weigh that, and the regularisers, once more.
        is_seen = self.config.compares_sightings
        counts = torch.ones_like(batch.weight) if is_seen else batch.weight
        return self._scaled(self._terms(found, batch, asked), step, counts)

    def validate(self, stage: Stage) -> dict[str, float]:
        """See `Task.validate`."""
        network = cast("HandAutoencoder", self.network)
        sets = {"": self._held_out, **self._apart}

        def figures(held_out: Cropper) -> dict[str, float]:
            errors = AutoencoderErrors.of(network, held_out, stage.without, self._decoder)
            return errors.figures()

        return by_set(sets, figures)

    def pictures(self, stage: Stage) -> np.ndarray:
        """See `Task.pictures`: a photograph with the keypoints that it is compared with, the hand
        as it is drawn, and the photograph with the keypoints that the network says."""
        crops = self._shown()
        inputs = autoencoder_inputs(crops)
        found = said(self.network, inputs, stage)
        targets = Targets.of(crops, self.config.supervised)
        unknown = (targets.confidence == 0)[..., None]
        wanted = torch.where(unknown, torch.nan, targets.positions)
        left = f"{self.config.supervised.keypoints} keypoints"
        if found.code is None:
            picture = crop_pictures(crops, found.estimated, None, wanted)
            return captioned(picture, [left, "2D branch"])
        code = found.code.map(Tensor.float)
        decoded = self._decoder(code, crops.focal, crops.projection)
        drawn = draw_hands(self._decoder, code, decoded, crops.image.shape[-1])
        picture = crop_pictures(crops, decoded.keypoints_2d, None, wanted, drawn.image)
        return captioned(picture, [left, "hand as drawn", "its keypoints"])

    def _as_learned(self, crops: CropSamples, step: int, rows: slice) -> CropSamples:
        """Crops as they are: the network is told neither keypoints nor shapes."""
        return crops
