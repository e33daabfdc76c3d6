"""What a `JointVAE` learns by itself, before it is a part of a `MeshNet` (Yu et al. 3.2, 4.2): of
hands that are posed at random, from the joints that a regressor finds to those that are true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from fitter.metrics import point_errors
from init_net.hand_model_id import network_hand_model
from init_net.networks.config import JointVAEConfig
from init_net.samples.posed_joints import JointSamples, PosedJoints
from init_net.training.config import TrainConfig
from init_net.training.crop_batches import batch_seed
from init_net.training.mesh_terms import joint_distance, kl_divergence, said_distance
from init_net.training.plan import Stage, Supply, make_plan
from init_net.training.task import WHOLE

if TYPE_CHECKING:
    from init_net.networks.joint_vae import JointVAE

_HELD_OUT = 5
"""What a seed is for, besides the batches of a run: hands that are measured."""


class JointVAETask:
    """A `JointVAE`: L_joint of Yu eq. 3 on given J_hat."""

    def __init__(self, config: TrainConfig, network: Any) -> None:
        """Load the hand model.

        Args:
            config: of the run.
            network: of the configuration, where it is trained.

        Raises:
            InputError: the hand model cannot be read.
        """
        self.config, self.network = config, network
        given = config.posed
        self.plan = make_plan(config, Supply([given.count], config.optimiser.batch_size))
        own = cast("JointVAEConfig", config.network)
        self._latent = own.latent
        model = network_hand_model(own.hand_model, own.betas)
        self._sampler = PosedJoints(model, own.betas, given.noise)
        self._device = next(network.parameters()).device
        seed = (config.run.seed, _HELD_OUT)
        self._held_out = {
            "": PosedJoints(model, own.betas).sample(given.held_out, self._latent, seed)
        }
        if given.noise > 0:
            noisy = self._sampler.sample(given.held_out, self._latent, seed)
            self._held_out["noisy_"] = noisy

    def batch(self, step: int, rows: slice = WHOLE) -> JointSamples:
        """See `Task.batch`; hands without images are made all at once, which is cheaper."""
        size, seed = self.config.optimiser.batch_size, batch_seed(self.config, step)
        whole = self._sampler.sample(size, self._latent, seed)
        return whole if rows == WHOLE else whole[rows]

    def losses(self, batch: JointSamples, step: int) -> dict[str, Tensor]:
        """See `Task.losses`."""
        batch = batch.to(self._device)
        network = cast("JointVAE", self.network)
        refined = network(batch.regressed, batch.code_noise)
        terms = {
            "joints_refined": joint_distance(refined.joints, batch.joints),
            "joints_agreement": said_distance(batch.regressed, refined.joints),
            "kl": kl_divergence(refined),
        }
        weights = self.plan.at(step).losses
        return {name: weights[name] * term for name, term in terms.items() if weights[name] > 0}

    @torch.no_grad()
    def validate(self, stage: Stage) -> dict[str, float]:
        """See `Task.validate`: mean distance of the joints from the true ones, mm, as they are
        regressed (``before_mm``) and as they are refined (``after_mm``); after ``noisy_``, of
        joints that scatter as those of batches do."""
        figures = {}
        for name, hands in self._held_out.items():
            refined = self.network(hands.regressed.to(self._device)).joints
            for when, found in {"before": hands.regressed, "after": refined}.items():
                errors = point_errors(_array(found), _array(hands.joints))
                figures[f"{name}{when}_mm"] = float(1000 * errors.mean())
        return figures

    def pictures(self, stage: Stage) -> np.ndarray | None:
        """See `Task.pictures`: there is nothing to see."""
        return None


def _array(points: Tensor) -> np.ndarray:
    return points.double().cpu().numpy()
