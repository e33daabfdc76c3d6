"""One fitted hand as a user gets it, from the Python door or from a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fitter.errors import InputError
from fitter.formats.hand_record import HandRecord
from fitter.inputs.through_lens import ThroughLens, taken_through
from fitter.lens import Lens
from fitter.posed_hand import PosedHand
from fitter.records import IntrinsicsSource
from fitter.store.schema import HandRow, ImageRow

if TYPE_CHECKING:
    from fitter.contact.records import PosedObject
    from fitter.meshes import HandMeshes
    from fitter.rendering.overlay_hand import OverlayHand
    from fitter.rendering.overlay_style import OverlayLook, OverlayStyle, OverlayView
    from fitter.textures import FusionOptions, HandTexture, HandView


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedHand(PosedHand):
    """A hand that was found in an image and fitted.

    Lengths are metres in the camera's frame (x right, y down, z forward), image positions pixels
    with the centre of the top-left pixel at (0.5, 0.5), angles radians; arrays are float32 unless
    said. Keypoints are in the canonical order (wrist, then thumb to little finger, palm to tip),
    joints in MANO's. A hand whose fit failed has `valid` False, what was detected, and `fit_error`;
    the rest is None. One whose score is below `output.min_quality` has `valid` False, `fit_error`,
    and everything else.

    Attributes:
        image_name: of the image: its path as given, or "image 0" for the first array.
        image_size: (width, height) of the upright image, pixels.
        intrinsics: (3, 3) float64 K of the image, pixels.
        intrinsics_source: "given", "exif" or "default".
        lens: the lens that took the image, where it distorts, with the size of the image as it was
            taken; `image_size`, `intrinsics` and all positions are then of the image without
            distortion, which `undistorted` makes. None where it does not.
        faces: (F, 3) int64 triangles of `vertices`, counter-clockwise seen from outside.
        vertices: (V, 3) mesh, metres, camera frame.
        valid: whether the fit can be used.
        side: "left" or "right".
        side_score: probability of `side`, in [0.5, 1].
        score: probability that the mean error of `keypoints_3d`, aligned by a similarity, is below
            10 mm; near 0 for what is no hand.
        predicted_error_mm: median of what that error is expected to be, millimetres.
        keypoint_visibility: (21,) probability that each keypoint is seen in the image.
        detection_score: how sure the detector is that this is a hand, in [0, 1].
        box: (4,) float64 x0, y0, x1, y1 around the detected keypoints, pixels.
        keypoints_2d_detected: (21, 2) float64 keypoints as detected, pixels.
        keypoint_confidence: (21,) float64 in [0, 1], of the detected keypoints.
        detector_relative_depth: (21,) float64 weak depth from the detector relative to the wrist,
            pixels, positive away from the camera; or None.
        detector_relative_xyz: (21, 3) float64 weak 3D keypoints from the detector, metres, camera
            axes, arbitrary origin; or None.
        keypoints_3d: (21, 3) metres, camera frame, in the definition that was asked for
            (`output.keypoint_definition`).
        keypoints_2d: (21, 2) pixels, projection of the keypoints that correspond to the detected
            ones, whatever definition `keypoints_3d` are in.
        person: whose hand it is, where images share its shape; None for a hand fitted alone.
        track: number of the hand's track in its video, from 1 on, see `Results.tracks`; 0 or None
            for a hand in no track.
        filled: whether nothing of the hand was found in the frame, so that it is where its track
            has it; what was detected is then None, and so is what is judged.
        shape_information: what the image says of the shape; None in results that are complete.
        motion_information: what the image says of where the hand is; likewise.
        hand_size: metres from the wrist's joint along the bones to the middle fingertip.
        hand_size_source: "fitted", or "given" where the user knows it.
        joints_3d: (J, 3) joints of the model (16 in MANO and the open hand, 25 in NIMBLE), metres,
            camera frame.
        global_orient: (3,) axis-angle of the wrist, model to camera.
        hand_pose: (R, 3) axis-angle of the other joints that rotate (15, or 19 in NIMBLE) relative
            to the flat rest pose. A left hand's parameters are those of the right-hand model
            mirrored in x.
        betas: (S,) shape coefficients of unit variance.
        transl: (3,) metres; the hand turns about its root joint first.
        vertex_offsets: (V, 3) metres, added to the posed model's vertices; None unless a stage
            fitted them. `vertices` includes them.
        appearance: coefficients of the skin's appearance, unit variance; None unless fitted.
        vertex_colours: (V, 3) added to the skin's colours; None unless fitted.
        lighting: coefficients of the light; None unless fitted.
        texture: (T, T, 3) float16 reflectance of the skin in linear light, in the model's texture
            coordinates (`meshes.data.uv`), row 0 at the top; None unless fitted.
        focal_scale: fitted focal length over that of `intrinsics`; None unless fitted.
        initialisation_source: what the fit started from: "keypoints" or a network's name.
        fit_status: how the fit to the keypoints ended: "converged", "stalled", "max_iterations" or
            "diverged".
        fit_error: why the hand is not valid, or None.
        iterations: of the fit to the keypoints.
        final_cost: of the fit to the keypoints at its end.
        refine_status: how the last stage after the keypoints ended; None without stages.
        refine_iterations: of the stages after the keypoints.
        mask_source: where the mask came from: "given", "network", "grabcut", or "rejected".
        mask_agreement: how far the mask agreed with keypoints and mesh, in [0, 1].
        mask_iou: intersection over union of the fitted mesh and the mask.
        touch_group: number, from 1 on, of the group of touching hands of the image that the hand is
            in; 0 for a hand that touches none.
        interaction_status: "joint" for hands of a group that were fitted together, "alone" where
            that made a fit worse, so that they keep their own; None for a hand in no group.
        relative_place: (3,) metres, camera frame, from the wrist's joint of the group's first hand
            to that of this one; None for a hand in no group.
        relative_place_std: (3,) its standard deviation, metres; NaN for hands that keep their own
            fits.
        penetration_depth: metres that this hand and another of its group are still in each other.
        object_gap: metres from the nearest known object of its image; negative, how deep they are
            in each other; None where no object is known.
        residual_px: root mean square distance of `keypoints_2d` from the detected ones, pixels.
        meshes: the model that was fitted, one for all hands of a fitter or a store: what textures
            and exports need beside the hand itself. A pickled hand brings how to load it, not the
            model.
    """

    image_name: str
    image_size: tuple[int, int]
    intrinsics: np.ndarray
    intrinsics_source: IntrinsicsSource
    lens: Lens | None = None

    @classmethod
    def of(cls, name: str, image: ImageRow, hand: HandRow, meshes: HandMeshes) -> Self:
        """A hand of an image that was read, with its mesh."""
        assert image.image_width is not None and image.image_height is not None
        assert image.intrinsics is not None and image.intrinsics_source is not None
        assert hand.side is not None
        values = {field.name: getattr(hand, field.name) for field in fields(hand)}
        if not hand.has_failed:
            values["vertices"] = meshes.vertices(hand)
        return cls(
            **values,
            image_name=name,
            image_size=(image.image_width, image.image_height),
            intrinsics=image.intrinsics,
            intrinsics_source=image.intrinsics_source,
            lens=image.lens,
            faces=meshes.faces(hand.side),
            meshes=meshes,
        )

    @property
    def _through(self) -> ThroughLens | None:
        return taken_through(self.lens, self.intrinsics, self.image_size)

    @property
    def title(self) -> str:
        """See `PosedHand`."""
        return self.image_name

    def _record(self) -> HandRecord:
        width, height = self.image_size
        image = ImageRow(
            image_width=width,
            image_height=height,
            intrinsics=self.intrinsics,
            intrinsics_source=self.intrinsics_source,
        ).with_lens(self.lens)
        return HandRecord(self.image_name, None, None, image, self)

    def undistorted(self, image: np.ndarray) -> np.ndarray:
        """The hand's image as its K, its size and all positions have it: without the distortion of
        its lens, black where that shows nothing.

        Args:
            image: (h, w, 3) uint8 RGB as it was taken, upright.

        Returns:
            (H, W, 3) uint8 RGB of `image_size`; `image` itself where no lens distorts it.

        Raises:
            InputError: it is no image, or another size than the one that was fitted.
        """
        return _pixels_of(image, [self])

    def overlay(
        self,
        image: np.ndarray,
        style: OverlayStyle | OverlayLook = "mesh",
        opacity: float | None = None,
        views: Sequence[OverlayView] | None = None,
        *,
        texture: HandTexture | None = None,
    ) -> np.ndarray:
        """The hand rendered over its image, by default with its skeleton, side and score.

        Args:
            image: (H, W, 3) uint8 RGB, as it was taken; of a lens that distorts, what is
                returned is without distortion.
            style: "mesh", "outline", "side-by-side", "appearance", or a whole `OverlayStyle`.
            opacity: of the hand, in [0, 1]; None leaves that of the style.
            views: further sides to show it from, beside the image: "side", "top", "back"; None
                leaves those of the style.
            texture: of the hand, which "appearance" shows in place of its fitted skin.

        Returns:
            (H, W, 3) uint8 RGB, wider than `image` where the style puts something beside it;
            `image` is left as it is.

        Raises:
            InputError: the fit failed, the image is another size (`hand.other_image`), or there is
                no such style.
        """
        return render_hands(image, [self], style, opacity, views, textures=[texture])

    def as_overlay(
        self, style: OverlayStyle | None = None, texture: HandTexture | None = None
    ) -> OverlayHand:
        """What an overlay of a style shows of the hand; None is `OverlayStyle()`. A texture takes
        the place of the fitted skin.

        Raises:
            InputError: the fit failed.
        """
        from fitter.rendering.overlay_hand import OverlayHand

        vertices, skin = self.fitted_vertices(), None
        if style is not None and style.look == "appearance":
            skin = self.meshes.skin(self, vertices, texture)
        return OverlayHand.of(self, vertices, self.faces, skin)

    def extract_texture(
        self,
        image: np.ndarray,
        *,
        size: int = 512,
        others: Sequence[FittedHand] = (),
        mask: np.ndarray | None = None,
    ) -> HandTexture:
        """The texture that the hand's image shows; see [textures](docs/textures.md).

        The image's light is the fitted one, or, where no stage fitted it, estimated.

        Args:
            image: (H, W, 3) uint8 RGB, of `image_size`.
            size: texels along a side.
            others: the image's other hands, which may hide this one; this one among them is no
                matter, and neither are hands whose fit failed.
            mask: (H, W) bool, the pixels that show hands; None where it is not known.

        Raises:
            InputError: the fit failed (`hand.not_fitted`), the image is another size
                (`hand.other_image`), or the model has no texture coordinates (`texture.no_uv`).
        """
        from fitter.textures import extract_texture

        view = self.as_view(image, others=others, mask=mask)
        return extract_texture(self.meshes.atlas(size), view)

    def as_view(
        self,
        image: np.ndarray,
        *,
        others: Sequence[FittedHand] = (),
        mask: np.ndarray | None = None,
    ) -> HandView:
        """What a texture is extracted from; see `extract_texture`."""
        from fitter.inputs.arrays import check_mask

        self.fitted_vertices()
        pixels = _pixels_of(image, [self])
        if mask is not None:
            through = self._through
            size = self.image_size if through is None else through.size
            mask = check_mask(mask, size, f"mask of {self.image_name}")
            mask = mask if through is None else through.mask(mask)
        fitted = [other for other in others if other.vertices is not None]
        return self.meshes.view(self, self.intrinsics, pixels, fitted, mask)


def render_hands(
    image: np.ndarray,
    hands: list[FittedHand],
    style: OverlayStyle | OverlayLook = "mesh",
    opacity: float | None = None,
    views: Sequence[OverlayView] | None = None,
    *,
    textures: Sequence[HandTexture | None] | None = None,
    objects: Sequence[Mapping[str, Any] | PosedObject] | None = None,
) -> np.ndarray:
    """Render fitted hands of one image over it; what is nearer hides what is farther.

    Args:
        image: (H, W, 3) uint8 RGB.
        hands: of this image; those whose fit failed must be left out.
        style: see `FittedHand.overlay`.
        opacity: see `FittedHand.overlay`.
        views: see `FittedHand.overlay`.
        textures: of each hand, or None where it has none; see `FittedHand.overlay`.
        objects: known ones of the image, as `fit_hands` takes them, in the camera of its hands;
            "appearance" leaves them out.

    Returns:
        (H, W, 3) uint8 RGB, wider than `image` where the style puts something beside it; `image`
        is left as it is.

    Raises:
        InputError: a fit failed, the image is another size than the one that was fitted, there is
            no such style, an object is none or none that the image can show, or there is no hand
            beside objects.
    """
    from fitter.inputs.given_images import checked_objects
    from fitter.inputs.object_poses import PosedIn, require_in
    from fitter.rendering.overlay import render_overlay
    from fitter.rendering.overlay_hand import OverlayObject
    from fitter.rendering.overlay_style import OverlayStyle

    chosen = OverlayStyle.of(style, opacity, views)
    pixels = _pixels_of(image, hands)
    known = checked_objects(objects, "objects")
    if known and not hands:
        raise InputError("hand.no_camera", file="objects")
    if known:
        of = hands[0]
        picture = PosedIn(of.image_name, of.image_size, of.intrinsics, of.intrinsics_source)
        require_in(picture, known, "objects")
    # Of no hand nothing is projected.
    intrinsics = hands[0].intrinsics if hands else np.eye(3)
    given = textures or [None] * len(hands)
    shown = [hand.as_overlay(chosen, own) for hand, own in zip(hands, given, strict=True)]
    things = [OverlayObject.of(each) for each in known]
    return render_overlay(pixels, shown, intrinsics, chosen, things)


def hand_texture(
    hands: Sequence[FittedHand],
    images: Sequence[np.ndarray | str | Path],
    *,
    size: int = 512,
    others: Sequence[Sequence[FittedHand]] | None = None,
    fusion: FusionOptions | None = None,
) -> HandTexture:
    """One texture of several pictures of one person's hand; see [textures](docs/textures.md).

    Left and right hands of one person may be among them: they share the atlas, and what one has
    shown fills what the other has not. Images are read one after the other.

    Args:
        hands: one of each image; those whose fit failed are left out.
        images: (H, W, 3) uint8 RGB, or the path of the image, for each hand.
        size: texels along a side.
        others: for each hand the hands of its image, which may hide it.
        fusion: how pictures are fused; None is `fitter.textures.FusionOptions()`.

    Raises:
        InputError: there is no fitted hand, the numbers or models differ, or see
            `FittedHand.extract_texture`.

    ```python
    import fitter
    from fitter.inputs import read_image

    (hand,) = fitter.fit("photo.jpg", max_hands=1)
    texture = fitter.hand_texture([hand], [read_image("photo.jpg")], size=128)
    assert texture.colours.shape == (128, 128, 3) and texture.measured.any()
    ```
    """
    from fitter.inputs.videos import local_image
    from fitter.textures import TextureFusion

    others = [()] * len(hands) if others is None else others
    for given in (images, others):
        if len(given) != len(hands):
            raise InputError("texture.count", expected=len(hands), found=len(given))
    tasks = [
        each for each in zip(hands, images, others, strict=True) if each[0].vertices is not None
    ]
    if not tasks:
        raise InputError("texture.no_hand")
    models = {hand.meshes.data.sha256: hand.meshes.data.name for hand, _, _ in tasks}
    if len(models) > 1:
        first, second, *_ = models.values()
        raise InputError("texture.models", expected=first, found=second)
    fused = TextureFusion(tasks[0][0].meshes.atlas(size), fusion)
    for hand, image, beside in tasks:
        if isinstance(image, str | Path):
            image = local_image(Path(image)).read()[0]
        fused.add(hand.extract_texture(image, size=size, others=beside))
    return fused.result()


def _pixels_of(image: np.ndarray, hands: Sequence[FittedHand]) -> np.ndarray:
    """The image (H, W, 3) uint8 of these hands, without distortion.

    Raises:
        InputError: it is no image, or another size than the one that was fitted.
    """
    from fitter.inputs.arrays import check_pixels

    pixels = check_pixels(image, "image")
    size = (pixels.shape[1], pixels.shape[0])
    for hand in hands:
        if hand._through is not None:
            return hand._through.pixels(pixels, hand.image_name)
        if hand.image_size != size:
            raise InputError(
                "hand.other_image", file=hand.image_name, expected=hand.image_size, found=size
            )
    return pixels
