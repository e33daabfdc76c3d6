"""The Python door: images in, fitted hands out.

    import fitter

    hands = fitter.fit("photo.jpg")
    hands[0].side, hands[0].score, hands[0].keypoints_3d, hands[0].vertices

`HandFitter` keeps the loaded model and detector for further images, `fit_to_store` fits any number
of them into a store on disk, which is what the command `fit-hands` does, and
`fitter.results.open_results` reads a store back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

import numpy as np

from fitter.config.options import Config, load_config
from fitter.config.overrides import configured
from fitter.config.rigs import require_rig
from fitter.fitted_hand import FittedHand
from fitter.fitting.detected_frame import DetectedFrame
from fitter.frame_hand import FrameHand
from fitter.inputs.door import Beside, FrameInput, ImageInput, RigInput
from fitter.inputs.given_images import GivenImages
from fitter.inputs.samples import Given, without_samples
from fitter.rig import Rig

if TYPE_CHECKING:
    from fitter.fitting.detected_image import DetectedImage
    from fitter.inputs.given_frames import GivenFrame
    from fitter.inputs.through_lens import ThroughLens
    from fitter.records import HandObservation, ImageRecord
    from fitter.run.request import RunRequest
    from fitter.run.summary import Summary


@overload
def fit(images: ImageInput, K: Any = None, **settings: Any) -> list[FittedHand]: ...


@overload
def fit(images: list[ImageInput], K: Any = None, **settings: Any) -> list[list[FittedHand]]: ...


def fit(
    images: ImageInput | list[ImageInput],
    K: Any = None,
    *,
    keypoints: Any = None,
    masks: Any = None,
    objects: Any = None,
    hand_size: Any = None,
    use: str | Sequence[str] = (),
    **settings: Any,
) -> list[FittedHand] | list[list[FittedHand]]:
    """Find and fit the hands of one image or of several.

    Args:
        images: an image or a list of them, see `HandFitter.__call__`.
        K: camera matrices, see `HandFitter.__call__`.
        keypoints: hands given in place of the detector's, see `HandFitter.__call__`.
        masks: of the hands, see `HandFitter.__call__`.
        objects: known things that hands may touch, see `HandFitter.__call__`.
        hand_size: metres, where they are known, see `HandFitter.__call__`.
        use: of a data set's samples, see `HandFitter.__call__`.
        settings: those of `HandFitter`: model, device, max_hands, config, options.

    Returns:
        The hands of the image, the surest first; of a list of images a list for each.

    Raises:
        InputError: something given cannot be used; nothing is returned then.

    ```python
    import fitter

    hands = fitter.fit("photo.jpg")
    for hand in hands:
        if hand.valid:  # the fit may have failed
            print(hand.side, round(hand.score, 2), hand.keypoints_3d[8])  # the index finger's tip
            hand.save(f"{hand.side}.glb")
    ```
    """
    with HandFitter(**settings) as fitter:
        return fitter(
            images,
            K,
            keypoints=keypoints,
            masks=masks,
            objects=objects,
            hand_size=hand_size,
            use=use,
        )


@overload
def fit_views(frames: FrameInput, rig: RigInput, **given: Any) -> list[FrameHand]: ...


@overload
def fit_views(
    frames: Sequence[FrameInput], rig: RigInput, **given: Any
) -> list[list[FrameHand]]: ...


def fit_views(
    frames: FrameInput | Sequence[FrameInput],
    rig: RigInput,
    *,
    keypoints: Any = None,
    masks: Any = None,
    hand_size: Any = None,
    **settings: Any,
) -> list[FrameHand] | list[list[FrameHand]]:
    """Find and fit the hands of frames that several calibrated cameras have seen.

    Args:
        frames: one frame or a list of them, see `HandFitter.fit_views`.
        rig: the cameras, see `HandFitter.fit_views`.
        keypoints: hands given in place of the detector's, see `HandFitter.fit_views`.
        masks: of the hands, see `HandFitter.fit_views`.
        hand_size: metres, where they are known, see `HandFitter.fit_views`.
        settings: those of `HandFitter`: model, device, max_hands, config, options.

    Returns:
        The hands of the frame, in the rig's frame; of a list of frames a list for each.

    Raises:
        InputError: something given cannot be used; nothing is returned then.
    """
    with HandFitter(**settings) as fitter:
        return fitter.fit_views(frames, rig, keypoints=keypoints, masks=masks, hand_size=hand_size)


def fit_to_store(request: RunRequest, config: Config | None = None) -> Summary:
    """Fit a folder or list of image files into a result store; what `fit-hands` does.

    Args:
        request: which images, where to, and what is known about them.
        config: None for the default; `fitter.config.load_config` reads others.

    Returns:
        What became of the images.

    Raises:
        InputError: something given cannot be used; nothing was processed, or what was is kept.
        LostError: a cluster or a process was lost; what was done is kept.
        KeyboardInterrupt: it was stopped; what was done is kept.
    """
    from fitter.run.driver import run

    return run(request, load_config() if config is None else config)


class HandFitter:
    """A hand model, networks and a detector, loaded once and ready for any number of images.

    ```python
    import fitter

    fitter_on_cpu = fitter.HandFitter(device="cpu", max_hands=1)
    (first,), (second,) = fitter_on_cpu(["photo.jpg", "photo.jpg"])
    assert first.keypoints_3d.shape == second.keypoints_3d.shape == (21, 3)
    ```
    """

    def __init__(
        self,
        model: str | Path | None = None,
        device: str | None = None,
        *,
        max_hands: int | None = None,
        config: Config | str | Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Load what is needed.

        Args:
            model: "open_hand", the path of a `MANO_RIGHT.pkl`, or the folder of a NIMBLE model;
                None for the configuration's, which is the open hand by default.
            device: "cpu", "cuda" or "auto"; None for the configuration's, "auto" by default.
            max_hands: hands looked for in an image; None for the configuration's.
            config: a `Config`, the path of a YAML file, or the name of a preset; None for the
                default. Model, device and max_hands are applied to it where they are given.
            options: further ones by name, such as ``{"fit.max_iterations": 50}``.

        Raises:
            InputError: the model, the device, the configuration or an option cannot be used.
        """
        from fitter.engine import Engine

        self.config = configured(model, device, max_hands, config, options or {})
        self.engine = Engine(self.config)
        self._detector: Any = None

    @overload
    def __call__(
        self, images: ImageInput, K: Any = None, **given: Unpack[Beside]
    ) -> list[FittedHand]: ...

    @overload
    def __call__(
        self, images: list[ImageInput], K: Any = None, **given: Unpack[Beside]
    ) -> list[list[FittedHand]]: ...

    def __call__(
        self,
        images: ImageInput | list[ImageInput],
        K: Any = None,
        *,
        keypoints: Any = None,
        masks: Any = None,
        objects: Any = None,
        hand_size: Any = None,
        use: str | Sequence[str] = (),
    ) -> list[FittedHand] | list[list[FittedHand]]:
        """Find and fit the hands of one image or of several.

        Images are fitted together in batches of ``run.batch_size``, on one thread of PyTorch, as
        the command does. Where its batches hold the same images the numbers are the same, else
        their last digits may differ. Arrays are checked before anything is computed, files when
        their batch is read.

        Args:
            images: the path of an image or its address (``s3://...``), (H, W, 3) uint8 RGB pixels,
                a sample of a data set (`datasets.annotations.AnnotatedImage`), or a list of these;
                also an array (N, H, W, 3).
            K: (3, 3) camera matrix in pixels, for all images; or one for each image, None where it
                is not known. Without it a sample's own is taken, then EXIF is asked, then a default
                field of view is taken.
            keypoints: of one image the list of its hands, each a `HandInput`; of several images
                such a list for each.
            masks: (H, W) bool or integer, or the path of a mask, of the pixels that show hands; of
                several images one for each, None where there is none.
            objects: of one image the list of known things that hands may touch, each an
                `ObjectInput`; of several images such a list for each.
            hand_size: metres from the wrist's joint along the bones to the middle fingertip, of
                all hands; or one for each image, None where it is not known. The fit keeps to it.
            use: what to take from samples beside K, where it is not given: "keypoints", "masks",
                "objects", or several. At least one of the samples must have it.

        Returns:
            The hands of the image, the surest first; of a list of images a list for each.

        Raises:
            InputError: something given cannot be used; nothing is returned then.
        """
        from fitter.device import one_thread

        said = without_samples(Given(images, K, keypoints, masks, objects), use)
        given = GivenImages.of(said, hand_size)
        require_rig(self.config, 1)
        found: list[list[FittedHand]] = []
        size = self.config.run.batch_size
        with one_thread():
            for start in range(0, len(given.images), size):
                found += self._fit_batch(given, range(start, min(start + size, len(given.images))))
        return found[0] if given.is_single else found

    @overload
    def fit_views(
        self,
        frames: FrameInput,
        rig: RigInput,
        *,
        keypoints: Any = None,
        masks: Any = None,
        hand_size: Any = None,
    ) -> list[FrameHand]: ...

    @overload
    def fit_views(
        self,
        frames: Sequence[FrameInput],
        rig: RigInput,
        *,
        keypoints: Any = None,
        masks: Any = None,
        hand_size: Any = None,
    ) -> list[list[FrameHand]]: ...

    def fit_views(
        self,
        frames: FrameInput | Sequence[FrameInput],
        rig: RigInput,
        *,
        keypoints: Any = None,
        masks: Any = None,
        hand_size: Any = None,
    ) -> list[FrameHand] | list[list[FrameHand]]:
        """Find and fit the hands of frames that several calibrated cameras have seen.

        Frames are fitted in batches of about ``run.batch_size`` images, as the command does with
        ``--views``; see `__call__`.

        Args:
            frames: one frame or a list of them: from names of the rig's cameras to images, each a
                path or (H, W, 3) uint8 RGB pixels, as the camera took them. Cameras may be missing.
            rig: a `fitter.Rig`, the path of a rig file (docs/views.md), or what stands in one.
            keypoints: hands given in place of the detector's, in pixels of the images: of one frame
                from names of cameras to the list of the image's hands, each a `HandInput`; of
                several frames a list of these. Cameras that it leaves out are searched for hands.
            masks: likewise, (H, W) or paths, of the pixels that show hands.
            hand_size: metres, of all hands, or one for each frame; see `__call__`.

        Returns:
            The hands of the frame in the rig's frame, with what each camera saw of them
            (`FrameHand.views`); of a list of frames a list for each.

        Raises:
            InputError: something given cannot be used; nothing is returned then.
        """
        from fitter.device import one_thread
        from fitter.inputs.given_frames import GivenFrames
        from fitter.workers.batches import batch_length

        given = GivenFrames.of(frames, rig, keypoints, masks, hand_size)
        require_rig(self.config, len(given.rig))
        length = batch_length(self.config, len(given.rig))
        found: list[list[FrameHand]] = []
        with one_thread():
            for start in range(0, len(given.frames), length):
                found += self._fit_frames(given.frames[start : start + length], given.rig)
        return found[0] if given.is_single else found

    def close(self) -> None:
        """Let go of the detector; it is loaded again when it is needed."""
        if self._detector is not None:
            self._detector.close()
            self._detector = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fit_batch(self, given: GivenImages, places: range) -> list[list[FittedHand]]:
        detected = [self._detect(given, place) for place in places]
        rows = self.engine.fit(detected)
        return [
            [FittedHand.of(given.name(place), row, hand, self.engine.meshes) for hand in row.hands]
            for place, row in zip(places, rows, strict=True)
        ]

    def _fit_frames(self, frames: Sequence[GivenFrame], rig: Rig) -> list[list[FrameHand]]:
        detected = []
        for frame in frames:
            views: list[DetectedImage | None] = []
            for view in frame.views:
                if view is None:
                    views.append(None)
                    continue
                record, mask = view.record()
                views.append(self._found(record, view.hands, mask, frame.hand_size))
            detected.append(DetectedFrame(rig, tuple(views)))
        rows, meshes = self.engine.fit_frames(detected), self.engine.meshes
        return [
            [FrameHand.of(frame.names, row, slot, rig, meshes) for slot in range(len(row.hands))]
            for frame, row in zip(frames, rows, strict=True)
        ]

    def _detect(self, given: GivenImages, place: int) -> DetectedImage:
        record = given.record(place, math.radians(self.config.camera.default_fov_degrees))
        mask, through = given.mask(place, record), given.through(place, record)
        found = self._found(record, given.hands[place], mask, given.hand_sizes[place], through)
        assert found.size is not None  # it was read
        return replace(found, objects=given.objects_in(place, record, found.size))

    def _found(
        self,
        record: ImageRecord,
        hands: Sequence[HandObservation] | None,
        mask: np.ndarray | None,
        size: float | None,
        through: ThroughLens | None = None,
    ) -> DetectedImage:
        """The hands of an image: those that are given, or the detector's where that is None."""
        from fitter.workers.image_detector import ImageDetector, find_hands

        if hands is not None:
            found = find_hands(record, hands, mask, None, self.config, through)
            return found.of_size(size)
        if self._detector is None:
            self._detector = ImageDetector(self.config, detects=True)
        try:
            detector = self._detector.detector
            found = find_hands(record, None, mask, detector, self.config, through)
        except Exception:
            # After an error of its own MediaPipe's graph refuses every further image.
            self.close()
            raise
        return found.of_size(size)
