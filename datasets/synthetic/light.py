"""Light on the meshes of a batch: several lamps with soft shadows, sky and ground, and the darkness
between fingers.

What arrives is computed at the vertices and interpolated over the image; highlights follow the
normal at each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.poses.finger_contact import hand_spheres
from datasets.synthetic.records import LightSpec
from fitter.hand_models import HandModel
from fitter.hand_models.kinematics import on_mano_joints
from fitter.raster import MeshTopology, rasterize

SHADOWS = 2
"""Lights that cast shadows: the first ones."""
MAP_SIZE, MAP_WIDTH = 80, 0.32
"""Pixels of a shadow map's side and the metres around the hand that it covers."""
BIAS = 0.004
"""Metres by which a point must lie behind the first surface to be in its shadow."""
SKIN_REFLECTANCE = 0.028
"""Share of the light that skin of gloss 1 mirrors when it falls straight on it."""
FAR = 100.0
"""Metres from which a lamp's shadow map is rendered."""
SKIN_BOUNCE = (0.5, 0.27, 0.2)
"""Linear RGB of what comes back from skin to skin in a fold."""
_TAPS = ((0.0, 0.0), (1.0, 0.35), (-0.35, 1.0), (-1.0, -0.35), (0.35, -1.0))
"""Places in a shadow map that are asked for one vertex, in units of the shadow's softness."""


@dataclass(frozen=True)
class Irradiance:
    """What reaches the vertices of B meshes.

    Attributes:
        diffuse: (B, V, 3) linear RGB to multiply the albedo with.
        shown: (B, V, SHADOWS) share of the light of the first lamps that is not in shadow.
    """

    diffuse: Tensor
    shown: Tensor


class Occlusion:
    """How much of the sky the fingers take from each other, from spheres on the bones.

    A sphere of radius r whose centre is seen from a point along the unit vector d at the distance l
    takes ``max(0, n . d) r^2 / l^2`` of the cosine-weighted sky (for a small sphere this is exact).
    The spheres of the bones that move a vertex are no occluders of it.
    """

    def __init__(self, model: HandModel, device: torch.device | str) -> None:
        spheres = hand_spheres()
        chosen = [k for k in range(len(spheres.radius)) if spheres.finger[k] < 0 or k % 5 in (1, 3)]
        self.ends = torch.from_numpy(spheres.ends[chosen]).to(device)
        self.share = torch.from_numpy(spheres.share[chosen]).float().to(device)[:, None]
        radius = torch.from_numpy(spheres.radius[chosen]).float()
        weights = torch.from_numpy(model.data.skin_weights).float()
        weights = on_mano_joints(weights, model.skeleton, dim=1)
        own = weights[:, spheres.joint[chosen]]
        # Parents and children of the bone lie next to the vertex too.
        parents = [max(j - 1, 0) if (j - 1) % 3 else 0 for j in spheres.joint[chosen]]
        children = [j + 1 if j % 3 else j for j in spheres.joint[chosen]]
        near = (own > 0.05) | (weights[:, parents] > 0.5) | (weights[:, children] > 0.5)
        self.squares = torch.where(near, 0.0, radius.square()).to(device)
        self.count = len(weights)

    def __call__(self, vertices: Tensor, normals: Tensor, points: Tensor) -> Tensor:
        """(B, V) share of the sky that is left, for hands with bone ends (B, 21, 3)."""
        first, second = points[:, self.ends[:, 0]], points[:, self.ends[:, 1]]
        centres = (first + self.share * (second - first)).float()
        x, y, z = (centres[:, None, :, k] - vertices[:, :, None, k] for k in range(3))
        squared = (x * x + y * y + z * z).clamp_min(1e-6)
        facing = x * normals[:, :, None, 0] + y * normals[:, :, None, 1]
        facing = (facing + z * normals[:, :, None, 2]).clamp_min(0)
        taken = self.squares * facing / (squared * squared.sqrt())
        return 1 - (1.3 * taken.sum(-1)).clamp(0, 0.85)


def shadowed(
    vertices: Tensor, topology: MeshTopology, focus: Tensor, light: LightSpec, number: int
) -> Tensor:
    """How much of one lamp reaches each vertex.

    Args:
        vertices: (B, V, 3) float32 metres; focus: (B, 3) middle of the hands.
        topology: faces that cast shadows.
        light: of B samples; number: which lamp.

    Returns:
        (B, V) in [0, 1].
    """
    toward = light.toward[:, number]
    helper = torch.where(
        toward[:, :1].abs() < 0.7, toward.new_tensor([1.0, 0, 0]), toward.new_tensor([0, 1.0, 0])
    )
    across = torch.nn.functional.normalize(torch.linalg.cross(toward, helper), dim=1)
    basis = torch.stack([across, torch.linalg.cross(toward, across), -toward], 1)
    offset = vertices - focus[:, None]
    scale, half = MAP_SIZE / MAP_WIDTH, MAP_SIZE / 2
    screen = torch.stack([(offset * basis[:, None, k]).sum(-1) for k in range(3)], -1)
    screen = screen * screen.new_tensor([scale, scale, 1.0])
    screen = screen + screen.new_tensor([half, half, FAR])
    # What is hidden is marked by its depth in the camera, and stays out of shadow maps too.
    screen = torch.where(vertices[..., 2:] > 0, screen, -1.0)
    first = rasterize(screen, topology, (MAP_SIZE, MAP_SIZE)).depth
    first = torch.where(first > 0, first, 10 * FAR).flatten(1)
    limit = screen[..., 2] - BIAS
    blur = (light.softness * scale)[:, None]
    shown = torch.zeros_like(limit)
    for right, down in _TAPS:
        x = (screen[..., 0] + right * blur).floor().long()
        y = (screen[..., 1] + down * blur).floor().long()
        inside = (x >= 0) & (y >= 0) & (x < MAP_SIZE) & (y < MAP_SIZE)
        index = y.clamp(0, MAP_SIZE - 1) * MAP_SIZE + x.clamp(0, MAP_SIZE - 1)
        shown = shown + (~inside | (first.gather(1, index) > limit)).float()
    return shown / len(_TAPS)


def illuminate(
    vertices: Tensor,
    normals: Tensor,
    open_share: Tensor,
    shown: Tensor,
    light: LightSpec,
    scatter: Tensor,
) -> Irradiance:
    """Light at the vertices.

    Args:
        vertices: (B, V, 3) metres; normals: (B, V, 3) unit.
        open_share: (B, V) of the sky that is visible.
        shown: (B, V, SHADOWS) of the first lamps.
        light: of B samples.
        scatter: (B, V, 1) by how much light wraps around edges, 0 for what is no skin.
    """
    up = (normals * light.up[:, None]).sum(-1, keepdim=True)
    sky = 0.5 + 0.5 * up
    ambient = sky * light.sky[:, None] + (1 - sky) * light.ground[:, None]
    diffuse = ambient * open_share[..., None]
    colour = vertices.new_tensor([1.0, 0.55, 0.4])
    for number in range(light.toward.shape[1]):
        cosine = (normals * light.toward[:, number, None]).sum(-1, keepdim=True)
        # Red light goes furthest below the skin: it wraps further around an edge.
        wrap = scatter * colour
        lit = ((cosine + wrap) / (1 + wrap)).clamp_min(0)
        lit_share = shown[..., number, None] if number < SHADOWS else open_share[..., None]
        diffuse = diffuse + lit * lit_share * light.colour[:, number, None]
    bounce = (1 - open_share)[..., None] * vertices.new_tensor(SKIN_BOUNCE)
    mean = light.colour.sum(1) * 0.2 + 0.5 * (light.sky + light.ground)
    return Irradiance(diffuse + 0.6 * bounce * mean[:, None], shown)


def highlights(
    normals: Tensor, to_eye: Tensor, shown: Tensor, light: LightSpec, gloss: Tensor, row: Tensor
) -> Tensor:
    """Highlights at pixels: two lobes of Blinn's model, normalised to reflect what arrives.

    Args:
        normals: (N, 3) unit; to_eye: (N, 3) unit; shown: (N, SHADOWS).
        light: of B samples.
        gloss: (N, 2) strength of the broad and the narrow lobe.
        row: (N,) which sample a pixel belongs to.

    Returns:
        (N, 3) linear RGB.
    """
    total = torch.zeros_like(normals)
    for number in range(SHADOWS):
        toward = light.toward[:, number].index_select(0, row)
        halfway = torch.nn.functional.normalize(toward + to_eye, dim=1)
        facing = (normals * halfway).sum(-1).clamp_min(0)
        lit = (normals * toward).sum(-1).clamp_min(0) * shown[:, number]
        two = facing * facing
        eight = two * two * two * two
        sixteen = eight * eight
        sixty_four = sixteen * sixteen * sixteen * sixteen
        lobes = gloss[:, 0] * 3.0 * sixteen + gloss[:, 1] * 9.0 * sixty_four
        strength = (SKIN_REFLECTANCE * lobes * lit)[:, None]
        total = total + strength * light.colour[:, number].index_select(0, row)
    return total
