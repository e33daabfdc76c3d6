"""Rendered samples as the pipeline sees them, what each initialisation and each fit says of their
hands, and how far that is off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from fit import load_fit_model
from torch import Tensor, nn

from fitter.camera import project
from fitter.config.options import Config
from fitter.fitting.crops import crop_hands
from fitter.fitting.initialisations import propose_initialisations
from fitter.fitting.initializer import Prediction
from fitter.fitting.keypoint_fit import fit_observations
from fitter.fitting.network_prior import predicted_initialisations
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import load_hand_model
from fitter.metrics import keypoint_2d_error, mask_iou
from fitter.raster import MeshTopology, rasterize
from fitter.records import HandCrop, HandObservation, HandParams
from init_net import Networks, RegressedHands
from init_net.posing import weak_projection
from init_net.samples.shards import HAND_FIELDS, ShardedSamples, true_hands
from init_net.samples.sightings import FOUND, Sightings
from init_net.training.evaluation import HandErrors, posed_mesh

_FIELDS = ("image", "mask", "intrinsics", "keypoints_2d", *HAND_FIELDS)


@dataclass(frozen=True)
class SampleBatch:
    """B rendered right hands as the pipeline sees them, and what is true of them.

    Attributes:
        observed: by the detector.
        crops: of `RefineConfig.resolution` pixels, S.
        hands: true parameters, camera frame.
        keypoints: (B, 21, 3) metres, camera frame.
        vertices: (B, V, 3) metres, camera frame.
        masks: (B, S, S) bool, of the crops.
    """

    observed: ObservationBatch
    crops: list[HandCrop]
    hands: HandParams
    keypoints: Tensor
    vertices: Tensor
    masks: np.ndarray

    @property
    def intrinsics(self) -> Tensor:
        """(B, 3, 3) of the crops."""
        return torch.from_numpy(np.stack([crop.intrinsics for crop in self.crops]))

    @property
    def blind_crops(self) -> list[HandCrop]:
        """The crops with keypoints that nobody has seen."""
        return [replace(crop, confidence=np.zeros(21)) for crop in self.crops]


@dataclass(frozen=True)
class Estimate:
    """What is said of B hands.

    Attributes:
        keypoints: (B, 21, 3) any unit and frame; NaN for a hand of which nothing is said.
        vertices: (B, V, 3) likewise; None without a mesh.
        positions: (B, 21, 2) pixels of the crop.
        silhouettes: (B, S, S) bool, of the mesh; None without one.
    """

    keypoints: Tensor
    vertices: Tensor | None
    positions: Tensor
    silhouettes: np.ndarray | None


@dataclass(frozen=True)
class Row:
    """One line of the table of initialisations and fits: means over the hands.

    Attributes:
        name: what is measured.
        figures: `HandErrors.figures`, "error_2d_px" in pixels of the crop, and "mask_iou" of the
            mesh's silhouette with the true mask; NaN for what the row does not say.
        standard_errors: of some of them.
        hands: that count.
        failed: hands of which nothing was said.
    """

    name: str
    figures: dict[str, float]
    standard_errors: dict[str, float]
    hands: int
    failed: int


class Bench:
    """Hand model, fit and networks, as a run with this configuration has them."""

    def __init__(
        self, config: Config, networks: Mapping[str, nn.Module], device: torch.device
    ) -> None:
        """Load the hand model.

        Args:
            config: of the run; initialisations and masks are each row's affair.
            networks: kind -> network in eval mode on the device.
            device: of networks and fits; meshes are rendered and compared on the CPU.
        """
        self.config, self.networks = config, dict(networks)
        self.side = config.refine.resolution
        self.hand = load_hand_model("open_hand", dtype=torch.float64)
        self.fit_model = load_fit_model("open_hand", device)
        self.ask = Networks(self.networks, device)
        self.alone = {kind: Networks({kind: net}, device) for kind, net in networks.items()}
        self._topology = MeshTopology(self.hand.faces)

    def sample_batch(
        self, samples: ShardedSamples, index: np.ndarray, from_truth: bool = False
    ) -> SampleBatch:
        """Samples as the pipeline sees them.

        Args:
            samples: rendered, and looked at by the detector.
            index: of the samples, B.
            from_truth: crop around the true keypoints, of which none counts as seen, instead of the
                detected ones.
        """
        rows = samples.read(index, _FIELDS)
        if from_truth:
            unseen = np.zeros(21)
            hands = [HandObservation(true.astype(float), unseen, "right", 1.0, 1.0)
                     for true in rows["keypoints_2d"]]  # fmt: skip
        else:
            sightings = opened_sightings(samples).read(index, np.zeros_like(index))
            hands = [hand_observation(sightings, i) for i in range(len(index))]
        crop = (self.side, self.config.refine.margin)
        images = zip(rows["image"], rows["intrinsics"], hands, rows["mask"], strict=True)
        crops = [crop_hands(image, K, [hand], mask > 127, crop)[0]
                 for image, K, hand, mask in images]  # fmt: skip
        like = self.fit_model.keypoints.joint_template
        params = true_hands(rows)
        mesh = self.hand(params)
        return SampleBatch(
            observed=ObservationBatch.of(hands, list(rows["intrinsics"]), like),
            # The true mask is what is to be found, not one that a user gave.
            crops=[replace(crop, given=None) for crop in crops],
            hands=params,
            keypoints=mesh.keypoints,
            vertices=mesh.vertices,
            masks=np.stack([crop.given_share for crop in crops]) > 0.5,
        )

    def of_params(self, params: HandParams, batch: SampleBatch) -> Estimate:
        """What parameters in the camera of the full image say of the hands."""
        mesh = self.hand(params.to("cpu"))
        positions = project(mesh.keypoints, batch.intrinsics)
        return Estimate(mesh.keypoints, mesh.vertices, positions, self.silhouettes(params, batch))

    def of_regressed(self, hands: RegressedHands) -> Estimate:
        """What `HandNet` says: each hand in its own weak-perspective camera."""
        mesh, camera = posed_mesh(self.hand, hands.rotations, hands.betas), hands.camera.double()
        wrist = mesh.keypoints[:, :1]
        points, vertices = mesh.keypoints - wrist, mesh.vertices - wrist

        def projected(at: Tensor) -> Tensor:
            return self.side * (weak_projection(at, camera) + 0.5)

        # Of the depth counts only what is nearer: the wrist may be a metre away.
        screen = torch.cat([projected(vertices), vertices[..., 2:] + 1.0], -1)
        return Estimate(points, vertices, projected(points), self.rendered(screen))

    def fitted(
        self,
        batch: SampleBatch,
        predictions: Sequence[Prediction] = (),
        from_keypoints: bool = True,
    ) -> HandParams:
        """Where the fit to the keypoints puts the hands; the arguments are its own."""
        observed, config = batch.observed, self.config.fit
        return fit_observations(
            self.fit_model, observed, config, predictions, from_keypoints
        ).params

    def silhouettes(self, params: HandParams, batch: SampleBatch) -> np.ndarray:
        """(B, S, S) bool, as `Refiner` renders hands; nothing for a hand without a fit."""
        vertices = self.hand(params.to("cpu")).vertices
        screen = torch.cat([project(vertices, batch.intrinsics), vertices[..., 2:]], -1)
        return self.rendered(screen)

    def rendered(self, screen: Tensor) -> np.ndarray:
        """(B, S, S) bool of meshes (B, V, 3): pixels of the crop, and depths."""
        # At depth 0 nothing is rendered.
        screen = torch.where(screen.isfinite().all(-1, keepdim=True), screen, 0.0)
        return rasterize(screen.float(), self._topology, (self.side, self.side)).mask.numpy()


def initialisation_rows(bench: Bench, samples: ShardedSamples, index: np.ndarray) -> list[Row]:
    """What each initialisation and each fit gives, of samples whose hand the detector found."""
    table = _Table()
    for batch in batches(bench, samples, index):
        table.add(batch, _estimates(bench, batch))
    return table.rows()


def blind_rows(bench: Bench, samples: ShardedSamples) -> list[Row]:
    """`HandNet` without keypoints, of all samples, in crops around the true box."""
    table = _Table()
    if "handnet" in bench.networks:
        for batch in batches(bench, samples, np.arange(len(samples)), from_truth=True):
            table.add(batch, {"HandNet, no keypoints, all": _blind(bench, batch)})
    return table.rows()


def batches(
    bench: Bench, samples: ShardedSamples, index: np.ndarray, from_truth: bool = False
) -> Iterator[SampleBatch]:
    """Samples, as many at a time as a run fits together; see `Bench.sample_batch`."""
    size = bench.config.run.batch_size
    for start in range(0, len(index), size):
        yield bench.sample_batch(samples, index[start : start + size], from_truth)


@lru_cache(maxsize=1)
def opened_sightings(samples: ShardedSamples) -> Sightings:
    """What the detector saw in the pictures as they were rendered; kept, since each part reads."""
    return Sightings(samples, [1])


def found_alone(samples: ShardedSamples) -> np.ndarray:
    """Numbers of the samples in which the detector found the hand by itself."""
    return np.flatnonzero(opened_sightings(samples).found[:, 0] == FOUND)


def hand_observation(sightings: Mapping[str, np.ndarray], i: int) -> HandObservation:
    names = ("keypoints", "confidence", "depth", "xyz")
    seen, confidence, depth, xyz = (sightings[name][i].astype(float) for name in names)
    return HandObservation(
        seen, confidence, "right", 1.0, 1.0, depth, xyz,
        sightings["features"][i].astype(np.float32), float(sightings["presence"][i]),
    )  # fmt: skip


def _estimates(bench: Bench, batch: SampleBatch) -> dict[str, Estimate]:
    """Name of a row -> what it says of the hands."""
    config, observed = bench.config.fit, batch.observed
    hands = normalise(observed)
    weak = config.relative_depth_gain * observed.relative_depth[..., None]
    seen = torch.cat([observed.keypoints, weak], -1).cpu()
    positions = torch.from_numpy(np.stack([crop.keypoints for crop in batch.crops]))
    single = config.model_copy(update={"num_initialisations": 1})
    said = {
        "true hand": bench.of_params(batch.hands, batch),
        "detector's x, y and depth": Estimate(seen, None, positions, None),
        "keypoint initialisation": bench.of_params(
            propose_initialisations(
                bench.fit_model, hands.with_depth_gain(config.relative_depth_gain), single
            ),
            batch,
        ),
        "keypoint fit": bench.of_params(bench.fitted(batch), batch),
    }
    with _overheard(bench.networks.get("handnet")) as regressed:
        predictions = bench.ask(hands, batch.crops).initialisations
    if "lifter" in predictions:
        laid = bench.of_params(
            predicted_initialisations(bench.fit_model, hands, predictions["lifter"]), batch
        )
        said["lifter"] = replace(laid, keypoints=predictions["lifter"].keypoints.cpu())
    if "handnet" in predictions:
        said["HandNet"] = bench.of_regressed(_joined(regressed))
        said["HandNet, no keypoints"] = _blind(bench, batch)
    for name, title in (("lifter", "lifter"), ("handnet", "HandNet")):
        if name in predictions:
            found = bench.fitted(batch, [predictions[name]], from_keypoints=False)
            said[f"fit from {title}"] = bench.of_params(found, batch)
    if len(predictions) == 2:
        both = list(predictions.values())
        found = bench.fitted(batch, both, from_keypoints=False)
        said["fit from both networks"] = bench.of_params(found, batch)
        said["fit from the best of all"] = bench.of_params(bench.fitted(batch, both), batch)
    return said


def _blind(bench: Bench, batch: SampleBatch) -> Estimate:
    """What `HandNet` says where no keypoints are given."""
    with _overheard(bench.networks["handnet"]) as regressed:
        bench.alone["handnet"](normalise(batch.observed), batch.blind_crops)
    return bench.of_regressed(_joined(regressed))


@contextmanager
def _overheard(network: nn.Module | None) -> Iterator[list[RegressedHands]]:
    """All hands that a `HandNet` says: of its parameters a prediction keeps the keypoints alone."""
    said: list[RegressedHands] = []
    if network is None:
        yield said
        return
    handle = network.register_forward_hook(lambda module, given, found: said.append(found.hands))
    try:
        yield said
    finally:
        handle.remove()


def _joined(hands: Sequence[RegressedHands]) -> RegressedHands:
    columns = zip(*(vars(part).values() for part in hands), strict=True)
    return RegressedHands(*(torch.cat(values).cpu() for values in columns))


@dataclass(frozen=True)
class _Measured:
    """Of B hands, and which of them count; see `Row`."""

    errors: HandErrors
    error_2d: np.ndarray
    overlap: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, said: Estimate, batch: SampleBatch) -> _Measured:
        errors = HandErrors.of(said.keypoints, batch.keypoints, said.vertices, batch.vertices)
        true = project(batch.keypoints, batch.intrinsics)
        distance = keypoint_2d_error(said.positions.numpy(), true.numpy())
        known = np.isfinite(errors.keypoints).all(1) & np.isfinite(distance)
        if said.silhouettes is None:
            return cls(errors, distance, np.full(len(distance), np.nan), known)
        overlap = mask_iou(said.silhouettes, batch.masks)
        return cls(errors, distance, overlap, known & np.isfinite(errors.vertices))


class _Table:
    """Collects what is measured of each row, batch by batch."""

    def __init__(self) -> None:
        self._parts: dict[str, list[_Measured]] = {}

    def add(self, batch: SampleBatch, said: Mapping[str, Estimate]) -> None:
        for name, estimate in said.items():
            self._parts.setdefault(name, []).append(_Measured.of(estimate, batch))

    def rows(self) -> list[Row]:
        rows = []
        for name, parts in self._parts.items():
            known = np.concatenate([part.known for part in parts])
            errors = HandErrors.together([part.errors for part in parts])[known]
            figures = {
                **errors.figures(),
                "error_2d_px": float(np.concatenate([p.error_2d for p in parts])[known].mean()),
                "mask_iou": float(np.concatenate([p.overlap for p in parts])[known].mean()),
            }
            hands, failed = int(known.sum()), int((~known).sum())
            rows.append(Row(name, figures, errors.standard_errors(), hands, failed))
        return rows
