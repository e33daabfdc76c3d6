"""What a network would say of crops whose truth it knew."""

import torch

from fitter.rotations import roma
from init_net.autoencoder_records import HandCode
from init_net.hand_decoder import HandDecoder
from init_net.networks.config import AutoencoderConfig
from init_net.samples.crop_samples import CropSamples


def true_decoder(crops: CropSamples) -> HandDecoder:
    """Of a perspective open hand, float64, with all components that true hands need."""
    config = AutoencoderConfig(pose_components=45, betas=crops.betas.shape[1])
    return HandDecoder(config).double()


def true_codes(decoder: HandDecoder, crops: CropSamples) -> HandCode:
    """(B,) codes of the true hands in grey, float64, of a `true_decoder`."""
    vectors = roma.rotmat_to_rotvec(crops.rotations.double())
    model = decoder.model
    rest = vectors[:, 1:].flatten(1) - model.hands_mean.flatten()
    components = model.hands_components.flatten(1)
    pose = torch.linalg.lstsq(components.T, rest.T).solution.T
    like = crops.wrist.double()
    colours = torch.full((len(like), len(model.v_template), 3), 0.6).double()
    return HandCode(
        pose=pose,
        betas=crops.betas.double(),
        scale=torch.ones_like(like[:, 0]),
        global_orient=vectors[:, 0],
        transl=like,
        colours=colours,
        appearance=None,
        lighting=None,
        log_focal=torch.zeros_like(like[:, 0]),
    )
