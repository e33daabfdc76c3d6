"""`HandAutoencoder`: a crop to the codes of a hand, its texture and its light (S2HAND 3.1, Zhao
3.1).

    image -> encoder -> pooled features -> geometry: pose, betas, s, R, T
                                        -> texture: colours or coefficients, light
          -> estimator: 2D keypoints (`init_net.networks.hourglass`)

What the numbers of the last layers mean is not published. Here the codes begin, at the layers'
biases, with a hand of the mean pose and shape that fills the crop, fingers up and palm to the
camera, in its mean skin under a white light from the camera.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fitter.colours import srgb_from_linear
from fitter.hand_models import HandModel
from fitter.hand_models.appearance_loading import load_appearance
from fitter.records import HandParams
from fitter.rendering.shading import FIRST_LIGHT
from fitter.rotations import roma
from init_net.autoencoder_records import AutoencoderInputs, AutoencoderPredictions, HandCode
from init_net.hand_model_id import network_hand_model, require_components
from init_net.networks.config import AutoencoderConfig
from init_net.networks.dense import dense_layers
from init_net.networks.encoders import pooled_encoder
from init_net.networks.heatmaps import channels_last, check_size
from init_net.networks.hourglass import KeypointEstimator
from init_net.networks.parts import NOTHING
from init_net.networks.rotations import COUNTS, facing_hand, to_rotations

START_DISTANCE = 0.6
"""Metres at which a hand stands at first where the network says the focal length itself: the median
of rendered hands (not published)."""

SMALL_WEIGHTS = 1e-3
"""Standard deviation of the last layers' weights at first (not published)."""

_LIGHTS = 8
"""Numbers of a light that are intensities and colours, and positive; its direction follows."""


class HandAutoencoder(nn.Module):
    """`AutoencoderInputs` to `AutoencoderPredictions`; a network of parts (`HasParts`). What it
    says is decoded by `init_net.hand_decoder.HandDecoder`.

    Attributes:
        config: as given.
        encoder: timm's, with its own pooling.
        geometry: dense layers to pose, shape and camera.
        texture: dense layers to texture and light; None where neither is said.
        estimator: the 2D branch; None without `AutoencoderConfig.estimator`.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        """A network with PyTorch's own random weights but for the last layers, see this module.

        Raises:
            InputError: there is no such encoder or hand model, the hand model has fewer components
                than there are coefficients, or see `KeypointEstimator`.
        """
        super().__init__()
        self.config = config
        model = network_hand_model(config.hand_model, config.betas)
        data = model.data
        components, shapes = len(data.hands_components), data.shapedirs.shape[2]
        require_components(data, "pose_components", components, config.pose_components)
        require_components(data, "betas", shapes, config.betas)
        with torch.device("cpu"):  # numbers, also where a network is built without memory for any
            geometry, texture = _geometry_start(model, config), _texture_start(model, config)
        self.encoder, features = pooled_encoder(config.encoder, config.input_size)
        self._geometry_counts = [len(numbers) for numbers in geometry]
        self._texture_counts = [len(numbers) for numbers in texture]
        self.geometry = _dense(features, config.hidden, geometry)
        self.texture: nn.Module | None = None
        if any(self._texture_counts):
            self.texture = _dense(features, config.hidden, texture)
        self.estimator: KeypointEstimator | None = None
        if config.estimator is not None:
            self.estimator = KeypointEstimator(config.estimator, config.input_size)
        # Convolutions of few channels take half the time so, on a CPU; the numbers are the same.
        self.to(memory_format=torch.channels_last)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """See `HasParts.parts`."""
        parts = {
            "encoder": self.encoder,
            "geometry": self.geometry,
            "texture": self.texture,
            "estimator": self.estimator,
        }
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def optional_parts(self) -> frozenset[str]:
        """See `HasParts.optional_parts`: any, though not any of them together, see
        `absence_fault`."""
        return frozenset(self.parts)

    def absence_fault(self, absent: frozenset[str]) -> str | None:
        """See `HasParts.absence_fault`."""
        parts = frozenset(self.parts)
        unknown, there = absent - parts, parts - absent
        if unknown:
            return f"it has no part {', '.join(sorted(unknown))}"
        if not there:
            return "one of its parts is always there, or it says nothing"
        if ("encoder" in there) != ("geometry" in there):
            return "encoder and geometry are left out together"
        if "texture" in there and "encoder" not in there:
            return "texture needs encoder and geometry"
        return None

    def forward(
        self, inputs: AutoencoderInputs, absent: frozenset[str] = NOTHING
    ) -> AutoencoderPredictions:
        """Look at B hands.

        Args:
            inputs: of B crops.
            absent: parts that are left out. Without encoder and geometry there is no code, without
                `texture` no texture and no light in it, without `estimator` no estimate.

        Raises:
            ValueError: the crops are not of the configured size, or the network cannot do without
                these parts (`absence_fault`).
        """
        check_size(inputs, self.config.input_size)
        fault = self.absence_fault(absent)
        if fault is not None:
            raise ValueError(f"parts that a HandAutoencoder can do without expected, but {fault}")
        code = None
        if "encoder" not in absent:
            # Colours about 0; the statistics of natural images are for trained encoders.
            features = self.encoder(channels_last(2 * inputs.image - 1))
            # Under mixed precision the layers would give halves, too coarse for places.
            with torch.autocast(inputs.image.device.type, enabled=False):
                code = self._code(features.to(inputs.image.dtype), inputs.focal, absent)
        estimated = None
        if self.estimator is not None and "estimator" not in absent:
            estimated = self.estimator(inputs.image)
        return AutoencoderPredictions(code, estimated)

    def _code(self, features: Tensor, focal: Tensor, absent: frozenset[str]) -> HandCode:
        """What pooled features (B, F) say; printed is which numbers there are, and no more."""
        pose, betas, size, rotation, place, own = self.geometry(features).split(
            self._geometry_counts, 1
        )
        log_focal = torch.zeros_like(focal)
        if own.shape[1]:
            log_focal = own[:, 0] - focal.log()
            focal = own[:, 0].exp()
        scale, transl = self._camera(size[:, 0].exp(), place, focal)
        colours = appearance = lighting = None
        if self.texture is not None and "texture" not in absent:
            shown, coefficients, light = self.texture(features).split(self._texture_counts, 1)
            colours = shown.unflatten(1, (-1, 3)) if shown.shape[1] else None
            appearance = coefficients if coefficients.shape[1] else None
            lighting = _lit(light) if light.shape[1] else None
        return HandCode(
            pose=pose,
            betas=betas,
            scale=scale,
            global_orient=self._axis_angle(rotation),
            transl=transl,
            colours=colours,
            appearance=appearance,
            lighting=lighting,
            log_focal=log_focal,
        )

    def _camera(self, scale: Tensor, place: Tensor, focal: Tensor) -> tuple[Tensor, Tensor]:
        """s and T, or s and t, of a scale (B,), places (B, 3) and focal lengths (B,).

        A crop shows where the wrist lies and how large a model of s = 1 would be: crop units a
        metre. How far the hand is follows from that, its own size and the focal length, so that a
        larger hand is as much further away, and looks the same.
        """
        if self.config.camera == "orthographic":
            return scale, torch.cat([place[:, :2], torch.zeros_like(place[:, 2:])], 1)
        distance = scale * focal / place[:, 2].exp()
        across = place[:, :2] * (distance / focal)[:, None]
        return scale, torch.cat([across, distance[:, None]], 1)

    def _axis_angle(self, rotation: Tensor) -> Tensor:
        """(B, 3) R of the last layer's numbers; a network that says axis-angle vectors gives them
        as it says them, which may be longer than half a turn."""
        if self.config.rotation == "axis_angle":
            return rotation
        return roma.rotmat_to_rotvec(to_rotations(rotation[:, None], "6d")[:, 0])


def _geometry_start(model: HandModel, config: AutoencoderConfig) -> list[Tensor]:
    """What the geometry's last layer says at first: pose, betas, log of s, rotation, place, and the
    log of the focal length where it is said; any of them may be empty.

    Place is where the wrist keypoint lies, crop units about the crop's middle, and the log of crop
    units a metre of the model's own size (perspective) or a number without use (orthographic).
    """
    like = model.v_template.new_zeros(1, 3)
    pose = model.pose_from_full(like.new_zeros(1, 3 * model.skeleton.rotations), False)
    hand = model(HandParams(like, pose, like.new_zeros(1, config.betas), like)).keypoints[0]
    rotation = facing_hand(hand)
    flat = ((hand - hand[0]) @ rotation.T)[:, :2]
    low, high = flat.amin(0), flat.amax(0)
    size = 1 / (config.margin * (high - low).max())
    wrist = -size * (low + high) / 2
    log_size, unit = size.log()[None], like.new_zeros(1)
    is_flat = config.camera == "orthographic"
    numbers = roma.rotmat_to_rotvec(rotation)
    if config.rotation == "6d":
        numbers = (rotation - torch.eye(3))[:, :2].flatten()
    assert len(numbers) == COUNTS[config.rotation]
    return [
        like.new_zeros(config.pose_components),
        like.new_zeros(config.betas),
        log_size if is_flat else unit,
        numbers,
        torch.cat([wrist, unit if is_flat else log_size]),
        (START_DISTANCE * size).log()[None] if config.focal == "predicted" else like.new_zeros(0),
    ]


def _texture_start(model: HandModel, config: AutoencoderConfig) -> list[Tensor]:
    """What the texture's last layer says at first: the vertices' colours, coefficients of the skin
    and the numbers of the light; any of them may be empty. Colours may leave their range, so that
    E_C of S2HAND 3.4.1 has something to keep in it."""
    colours = coefficients = light = model.v_template.new_zeros(0)
    if config.appearance == "vertex_colours":
        skin = load_appearance(model.data)
        mean = skin.vertex_colours(colours.new_zeros(1, skin.count))
        colours = srgb_from_linear(mean).flatten()
    elif config.appearance == "components":
        coefficients = colours.new_zeros(config.appearance_components)
        # Files of textures are large, and read when something is drawn with them.
        if model.data.appearance_file is None:
            count = load_appearance(model.data).count
            require_components(model.data, "appearance_components", count, len(coefficients))
    if config.light == "ambient_directional":
        first = colours.new_tensor(FIRST_LIGHT)
        light = torch.cat([first[:_LIGHTS].log(), first[_LIGHTS:]])
    return [colours, coefficients, light]


def _lit(numbers: Tensor) -> Tensor:
    """(B, 11) `HandCode.lighting` of as many numbers: intensities and colours are positive."""
    return torch.cat([numbers[:, :_LIGHTS].exp(), numbers[:, _LIGHTS:]], 1)


def _dense(features: int, hidden: list[int], start: list[Tensor]) -> nn.Sequential:
    """Dense layers from pooled features to as many numbers as `start` has, which is nearly what
    they say at first."""
    numbers = torch.cat(start)
    return dense_layers([features, *hidden, len(numbers)], numbers, SMALL_WEIGHTS)
