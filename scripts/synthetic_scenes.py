"""Random images of one hand whose mesh, camera and mask are known.

A scene is one square crop that shows a hand with its forearm and sleeve, in any pose, shape and
view, rendered with the renderer of the example images: soft environment light with shadows, bounce
and highlights, skin painted in space with creases, veins and nails, a cluttered background out of
focus, a camera's blur, noise and compression. None of this can be written as vertex colours or a
texture under a few numbers of light.
"""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from build_examples import develop, surface_colours
from example_geometry import SKIN, ArmMesh, ArmStyle, build_arm, open_wrist, rest_frame
from example_light import LightDetail, LightStyle, light_vertices
from example_recipes import TONES, HandRecipe
from example_skin import ClothStyle, SkinTone, to_linear
from PIL import Image
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from datasets.poses import sample_hand_angles
from datasets.synthetic.painted_backgrounds import THEMES, sample_background
from fitter.camera import project
from fitter.hand_models import HandModel, hand_pose_from_angles
from fitter.raster import rasterize
from fitter.records import HandMesh, HandParams
from fitter.rendering import vertex_normals

SIZE = 256
"""Pixels of an image's side."""
SUPERSAMPLING = 2
DETAIL = LightDetail(directions=112, map_size=256)
LEVELS = 1
"""Subdivisions of the skin: a face of the finer mesh is some three pixels wide."""
LEAST_SEEN = 0.85
"""Share of the hand's outline that the forearm and the sleeve must leave in sight."""
LEAST_DEPTH = 0.08
"""Metres from the camera to the nearest part of hand, forearm and sleeve."""
MARGIN = 8.0
"""Pixels between the hand and the image's border."""
ATTEMPTS = 200
"""Samples of pose and view after which a seed is given up; about one in four is accepted."""


@dataclass(frozen=True)
class Scene:
    """One image and all that is true of it. Camera frame, metres and pixels of the image.

    Attributes:
        seed: all that the scene depends on.
        image: (256, 256, 3) uint8 RGB.
        intrinsics: (3, 3) float64 K.
        params: of one right open hand (batch of one), float64.
        vertices: (V, 3) float64 of the open hand; joints: (16, 3); keypoints: (21, 3).
        hand_mask: (256, 256) bool: the open hand's mesh is what the camera sees.
        arm_mask: (256, 256) bool: forearm or sleeve is what the camera sees.
        covered: (256, 256) bool: the part of `arm_mask` behind which the hand's mesh lies. A
            silhouette rendered without the arm is right to fill it.
    """

    seed: int
    image: np.ndarray
    intrinsics: np.ndarray
    params: HandParams
    vertices: np.ndarray
    joints: np.ndarray
    keypoints: np.ndarray
    hand_mask: np.ndarray
    arm_mask: np.ndarray
    covered: np.ndarray


@dataclass(frozen=True)
class _Staged:
    """A hand before its camera, not yet rendered."""

    params: HandParams
    mesh: HandMesh
    intrinsics: np.ndarray
    arm: ArmMesh
    recipe: HandRecipe


def render_scene(model: HandModel, seed: int, betas: np.ndarray | None = None) -> Scene:
    """Render the scene of a seed.

    Args:
        model: the right open hand in float64.
        seed: any non-negative integer; the scene depends on nothing else but `betas`.
        betas: (S,) shape of the hand; None for one that is sampled.

    Raises:
        RuntimeError: no natural pose in full sight was found in `ATTEMPTS` samples.
    """
    generator = np.random.default_rng([seed, 0])
    for _ in range(ATTEMPTS):
        staged = _stage(model, generator, betas)
        if staged is None:
            continue
        hand, arm, covered = _masks(model, staged)
        if hand.sum() >= LEAST_SEEN * (hand.sum() + covered.sum()):
            break
    else:
        raise RuntimeError(f"seed {seed}: no hand in full sight in {ATTEMPTS} samples")
    image = _photograph(staged, np.random.default_rng([seed, 1]))
    mesh = staged.mesh.map(lambda tensor: tensor[0])
    return Scene(
        seed=seed,
        image=image,
        intrinsics=staged.intrinsics,
        params=staged.params,
        vertices=mesh.vertices.numpy(),
        joints=mesh.joints.numpy(),
        keypoints=mesh.keypoints.numpy(),
        hand_mask=hand,
        arm_mask=arm,
        covered=covered,
    )


# ---- Pose, view and camera


def _stage(
    model: HandModel, generator: np.random.Generator, given: np.ndarray | None = None
) -> _Staged | None:
    """Sample pose, shape, view, camera and forearm; None where fingers pass through each other, or
    where the arm points at the camera."""
    shapes = model.shapedirs.shape[-1]
    betas = torch.from_numpy(generator.normal(0, 0.85, (1, shapes)).clip(-2.0, 2.0))
    if given is not None:
        betas = torch.from_numpy(given)[None]
    zero = torch.zeros(1, 3, dtype=torch.float64)
    rest = model(HandParams(zero, zero.expand(15, 3)[None], betas, zero))
    frame = rest_frame(rest.joints[0].numpy(), rest.vertices[0, model.tip_vertices].numpy())
    angles = torch.from_numpy(sample_hand_angles(generator, 1))
    pose = hand_pose_from_angles(angles, frame.axes)
    rotation = Rotation.random(random_state=generator)
    orient = torch.from_numpy(rotation.as_rotvec())[None]
    style = ArmStyle(*generator.normal(0, (0.2, 0.12)), *_cuff(generator))
    recipe = HandRecipe(
        "right", ((0, 0, 0),) * 4, (0,) * 5, (0, 0, 0), (0, 0, 0), _tone(generator), style,
        _cloth(generator),
    )  # fmt: skip
    still = model(HandParams(orient, pose, betas, zero))
    chains = np.concatenate([still.joints[0], still.vertices[0, model.tip_vertices]], axis=0)
    toward_camera = rotation.apply(frame.forward)[2]
    if toward_camera > 0.75 or _fingers_collide(chains):
        return None

    distance = generator.uniform(0.28, 0.8)
    away = np.tan(np.deg2rad(generator.uniform(-16, 16, 2)))
    middle = still.vertices[0].numpy()
    middle = 0.5 * (middle.min(axis=0) + middle.max(axis=0))
    transl = torch.from_numpy(distance * np.array([*away, 1.0]) - middle)[None]
    params = HandParams(orient, pose, betas, transl)
    with torch.no_grad():
        mesh = model(params)
    intrinsics = _crop_camera(mesh.vertices[0].numpy(), generator)
    arm = build_arm(model, params, style, generator, LEVELS)
    if arm.vertices[:, 2].min() < LEAST_DEPTH:
        return None
    return _Staged(params, mesh, intrinsics, arm, recipe)


def _crop_camera(vertices: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """K of a crop around a hand: the principal point lies wherever the full image's centre is."""
    rays = vertices[:, :2] / vertices[:, 2:]
    low, high = rays.min(axis=0), rays.max(axis=0)
    focal = SIZE * generator.uniform(0.58, 0.86) / (high - low).max()
    room = (SIZE - focal * (high - low)) / 2 - MARGIN
    centre = SIZE / 2 + generator.uniform(-1, 1, 2) * np.minimum(room, 24.0)
    principal = centre - focal * (low + high) / 2
    return np.array([[focal, 0, principal[0]], [0, focal, principal[1]], [0, 0, 1.0]])


_RADII = (0.0088, 0.0078, 0.0066)
"""Metres: about half the thickness of a finger's three phalanges."""
_PALM_RADIUS = 0.0115
_FIRMNESS = 0.72
"""Share of two radii to which the flesh of touching fingers lets their bones come."""


def _fingers_collide(points: np.ndarray) -> bool:
    """Whether bones come nearer to each other than flesh allows.

    Args:
        points: (21, 3) joints in MANO's order, then the tips of thumb to little.
    """
    share = np.linspace(0, 1, 7)[:, None]

    def samples(a: int, b: int) -> np.ndarray:
        return points[a] + share * (points[b] - points[a])

    tips = {0: 17, 1: 18, 2: 20, 3: 19, 4: 16}  # MANO's order: index, middle, little, ring, thumb
    fingers, palm = [], []
    for finger, tip in tips.items():
        chain = [*range(1 + 3 * finger, 4 + 3 * finger), tip]
        bones = [samples(a, b) for a, b in itertools.pairwise(chain)]
        fingers.append((np.concatenate(bones), np.repeat(_RADII, len(share))))
        if finger != 4:
            palm.append(samples(0, chain[0]))
    palm = np.concatenate(palm)
    for i, (own, radii) in enumerate(fingers):
        for other, other_radii in fingers[i + 1 :]:
            allowed = _FIRMNESS * (radii[:, None] + other_radii)
            if i == 3 or other is fingers[4][0]:
                # The thumb's metacarpal lies in the palm's flesh.
                allowed[:, : len(share)] = 0.0
            if (cdist(own, other) < allowed).any():
                return True
        outer = own[len(share) :] if i < 4 else own[2 * len(share) :]
        outer_radii = radii[-len(outer) :]
        if (cdist(outer, palm) < _FIRMNESS * (outer_radii[:, None] + _PALM_RADIUS)).any():
            return True
    return False


# ---- Skin, cloth and light


def _cuff(generator: np.random.Generator) -> tuple[float, float]:
    """Where the sleeve begins and how loose it is, metres; some arms are bare."""
    bare = generator.random() < 0.35
    return generator.uniform(0.1, 0.3) if bare else generator.uniform(0.025, 0.1), 0.0045


def _tone(generator: np.random.Generator) -> SkinTone:
    """A skin colour between two neighbours of the named ones, a little off."""
    tones = list(TONES.values())
    first = generator.integers(len(tones) - 1)
    share = generator.random()

    def between(name: str, noise: float) -> tuple[float, ...]:
        a, b = (np.array(getattr(tone, name), float) for tone in tones[first : first + 2])
        return tuple(((1 - share) * a + share * b) * generator.normal(1, noise, 3))

    return SkinTone(between("back", 0.025), between("palm", 0.025), between("flush", 0.01))


def _cloth(generator: np.random.Generator) -> ClothStyle:
    def colour() -> tuple[int, ...]:
        hsv = np.array([[[generator.uniform(0, 180), *generator.uniform((0, 30), (190, 235))]]])
        return tuple(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)[0, 0].tolist())

    stripes = colour() if generator.random() < 0.4 else None
    return ClothStyle(colour(), stripes, bool(generator.random() < 0.5))


def _light(generator: np.random.Generator) -> LightStyle:
    """A key light from above or the side, a sky and a ground, and a weak light from behind."""
    azimuth, height = generator.uniform(-2.2, 2.2), generator.uniform(-0.95, 0.15)
    ring = np.sqrt(1 - height**2)
    key = (ring * np.sin(azimuth), height, -ring * np.cos(azimuth))
    warmth = generator.uniform(-0.5, 1.0)
    tint = np.array([1 + 0.12 * warmth, 1.0, 1 - 0.2 * warmth])
    sky = generator.uniform(0.3, 0.55) * np.array([1, 1.04, 1.12]) * (2 - tint)
    ground = generator.uniform(0.15, 0.28) * np.array([1.1, 1.0, 0.9])
    return LightStyle(
        key=tuple(key),
        key_colour=tuple(generator.uniform(0.5, 1.25) * tint),
        softness=generator.uniform(0.3, 0.5),
        sky=tuple(sky),
        ground=tuple(ground),
        rim=tuple(generator.uniform(0, 0.3) * generator.uniform(0.8, 1.2, 3)),
    )


# ---- Rendering


def _screen(vertices: np.ndarray, intrinsics: np.ndarray, scale: int) -> torch.Tensor:
    """(1, V, 3): pixels of an image `scale` times as fine, and depth."""
    points = torch.from_numpy(vertices)[None]
    scaled = torch.from_numpy(intrinsics * [[scale], [scale], [1]])[None]
    return torch.cat([project(points, scaled), points[..., 2:]], -1)


def _masks(model: HandModel, staged: _Staged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The masks `Scene.hand_mask`, `arm_mask` and `covered`, of the model's own mesh."""
    size = (SIZE, SIZE)
    hand = rasterize(
        _screen(staged.mesh.vertices[0].numpy(), staged.intrinsics, 1), model.faces, size
    )
    arm, follows_root = staged.arm, staged.arm.weights[:, 0] > 1 - 1e-9
    beyond = (arm.rest - arm.frame.joints[0]) @ arm.frame.forward
    # The part of the arm's mesh that is no part of the hand's: past the loop at which it begins.
    loop = open_wrist(model.data.faces)[1]
    template = _rest_vertices(model, staged.params)
    end = ((template[loop] - arm.frame.joints[0]) @ arm.frame.forward).min()
    is_arm = (arm.material != SKIN) | (follows_root & (beyond < end))
    faces = arm.faces[is_arm[arm.faces].all(axis=1)]
    sleeve = rasterize(_screen(arm.vertices, staged.intrinsics, 1), torch.from_numpy(faces), size)
    has_hand, has_arm = hand.mask[0].numpy(), sleeve.mask[0].numpy()
    nearer = sleeve.depth[0].numpy() < hand.depth[0].numpy()
    covered = has_hand & has_arm & nearer
    return has_hand & ~covered, has_arm & (covered | ~has_hand), covered


def _rest_vertices(model: HandModel, params: HandParams) -> np.ndarray:
    """(V, 3) vertices of the rest pose of the given shape."""
    still = params.map(torch.zeros_like)
    return model(replace(still, betas=params.betas)).vertices[0].numpy()


def _photograph(staged: _Staged, generator: np.random.Generator) -> np.ndarray:
    """The image (256, 256, 3) uint8."""
    fine = SIZE * SUPERSAMPLING
    theme = str(generator.choice(list(THEMES)))
    wide = sample_background(theme, (fine * 5 // 4, fine * 5 // 3), generator)
    top, left = (int(generator.integers(0, n - fine + 1)) for n in wide.shape[:2])
    background = wide[top : top + fine, left : left + fine]
    linear = to_linear(background) * generator.uniform(0.6, 1.0)
    _draw_arm(linear, staged, generator)
    developed = develop(linear * generator.uniform(0.8, 1.2)).astype(np.float32)
    small = cv2.resize(developed, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), generator.uniform(0.45, 0.9))
    grain = generator.normal(0, 1, small.shape) + generator.normal(0, 0.5, (SIZE, SIZE, 1))
    small = small + cv2.GaussianBlur(grain, (0, 0), 0.6) * generator.uniform(1.0, 5.0)
    pixels = np.clip(np.round(small), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(generator.integers(82, 96)))
    return np.array(Image.open(buffer))


def _draw_arm(linear: np.ndarray, staged: _Staged, generator: np.random.Generator) -> None:
    """Render hand, forearm and sleeve over the linear background (H, W, 3), in place."""
    arm = staged.arm
    screen = _screen(arm.vertices, staged.intrinsics, SUPERSAMPLING)
    fragments = rasterize(screen, torch.from_numpy(arm.faces), linear.shape[:2])
    faces, vertices = torch.from_numpy(arm.faces), torch.from_numpy(arm.vertices)[None]
    normals = vertex_normals(vertices, faces)[0].numpy()
    focus = arm.vertices[(arm.weights[:, 0] < 0.9) & (arm.material == SKIN)].mean(axis=0)
    light = light_vertices(arm.vertices, normals, arm.faces, _light(generator), focus, DETAIL)
    face_index = fragments.face_index[0].numpy().ravel()
    pixels = np.flatnonzero(face_index >= 0)
    weights = fragments.barycentrics[0].numpy().reshape(-1, 3)[pixels]
    corners = arm.faces[face_index[pixels]]
    colours = surface_colours(corners, weights, staged.recipe, arm, light, generator)
    linear.reshape(-1, 3)[pixels] = colours
