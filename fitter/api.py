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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, overload

import numpy as np

from fitter.config.files import Flag
from fitter.config.options import Config, load_config, model_flags
from fitter.errors import InputError
from fitter.fitted_hand import FittedHand
from fitter.inputs.given_images import GivenImages
from fitter.inputs.samples import Given, Sample, without_samples
from fitter.records import HandObservation

if TYPE_CHECKING:
    from fitter.fitting.detected_image import DetectedImage
    from fitter.run.request import RunRequest
    from fitter.run.summary import Summary

ImageInput: TypeAlias = str | Path | np.ndarray | Sample
"""Path or address of an image, (H, W, 3) uint8 RGB pixels, upright, or a data set's sample."""

HandInput: TypeAlias = HandObservation | Mapping[str, Any]
"""A hand's keypoints given in place of the detector's: a `HandObservation`, or a mapping with
"side" ("left" or "right"), "keypoints" (21 x 2 pixels, or 21 x 3 with a confidence in [0, 1]) and
perhaps "relative_depth" (21 pixels, positive away from the camera)."""


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
        return fitter(images, K, keypoints=keypoints, masks=masks, hand_size=hand_size, use=use)


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

        self.config = _configured(model, device, max_hands, config, options or {})
        self.engine = Engine(self.config)
        self._detector: Any = None

    @overload
    def __call__(
        self,
        images: ImageInput,
        K: Any = None,
        *,
        keypoints: Any = None,
        masks: Any = None,
        hand_size: Any = None,
        use: str | Sequence[str] = (),
    ) -> list[FittedHand]: ...

    @overload
    def __call__(
        self,
        images: list[ImageInput],
        K: Any = None,
        *,
        keypoints: Any = None,
        masks: Any = None,
        hand_size: Any = None,
        use: str | Sequence[str] = (),
    ) -> list[list[FittedHand]]: ...

    def __call__(
        self,
        images: ImageInput | list[ImageInput],
        K: Any = None,
        *,
        keypoints: Any = None,
        masks: Any = None,
        hand_size: Any = None,
        use: str | Sequence[str] = (),
    ) -> list[FittedHand] | list[list[FittedHand]]:
        """Find and fit the hands of one image or of several.

        Images are fitted together in batches of ``run.batch_size``, on one thread of PyTorch, as
        the command does. Where its batches hold the same images the numbers are the same, else
        their last digits may differ. Images that are given as
        arrays are checked before anything is computed, files when their batch is read.

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
            hand_size: metres from the wrist's joint along the bones to the middle fingertip, of
                all hands; or one for each image, None where it is not known. The fit keeps to it.
            use: what to take from samples beside K, where it is not given: "keypoints", "masks", or
                both. At least one of the samples must have it.

        Returns:
            The hands of the image, the surest first; of a list of images a list for each.

        Raises:
            InputError: something given cannot be used; nothing is returned then.
        """
        said = without_samples(Given(images, K, keypoints, masks), use)
        given = GivenImages.of(said, hand_size)
        found: list[list[FittedHand]] = []
        size = self.config.run.batch_size
        with _one_thread():
            for start in range(0, len(given.images), size):
                found += self._fit_batch(given, range(start, min(start + size, len(given.images))))
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

    def _detect(self, given: GivenImages, place: int) -> DetectedImage:
        from fitter.workers.image_detector import ImageDetector, find_hands

        record = given.record(place, math.radians(self.config.camera.default_fov_degrees))
        hands, size = given.hands[place], given.hand_sizes[place]
        mask = given.mask(place, record)
        if hands is not None:
            return _sized(find_hands(record, hands, mask, None, self.config), size)
        if self._detector is None:
            self._detector = ImageDetector(self.config, detects=True)
        try:
            found = find_hands(record, None, mask, self._detector.detector, self.config)
        except Exception:
            # After an error of its own MediaPipe's graph refuses every further image.
            self.close()
            raise
        return _sized(found, size)


def _configured(
    model: str | Path | None,
    device: str | None,
    max_hands: int | None,
    config: Config | str | Path | None,
    options: Mapping[str, Any],
) -> Config:
    """The configuration of a `HandFitter`; what is None does not override it."""
    if not isinstance(options, Mapping):
        raise InputError("door.options", file="options", found=type(options).__name__)
    flags: dict[str, Flag] = {}
    if model is not None:
        flags |= model_flags(f"model={str(model)!r}", str(model))
    if device is not None:
        flags["run.device"] = Flag(f"device={device!r}", device)
    if max_hands is not None:
        flags["detector.max_hands"] = Flag(f"max_hands={max_hands}", max_hands)
    for name, value in options.items():
        if "." not in name:
            raise InputError("door.option", file="options", found=name)
        flags[name] = Flag(f"{name}={value!r}", value)
    if not isinstance(config, Config):
        return load_config(config, (), flags)
    if not flags:
        return config
    return load_config(None, (), _as_flags(config.resolved()) | flags)


def _as_flags(values: Mapping[str, Any], prefix: str = "") -> dict[str, Flag]:
    """Every option of a configuration, as if a flag had said it."""
    found: dict[str, Flag] = {}
    for name, value in values.items():
        full = f"{prefix}{name}"
        if isinstance(value, Mapping) and prefix == "":
            found |= _as_flags(value, f"{full}.")
        else:
            found[full] = Flag(f"{full}={value!r}", value)
    return found


def _sized(found: DetectedImage, size: float | None) -> DetectedImage:
    """What was found in an image, with the size of its hands in metres where it is known."""
    return found if size is None else found.of_size(size)


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread, whose number shows in the last digits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
