"""Stores for reports: hands of every status, and names that would harm a careless page."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fitter.report import ReportOptions
from fitter.store.result_store import ResultStore
from fitter.store.schema import ImageRow
from tests.support.fitted_stores import HEIGHT, WIDTH, image_row, posed_hand, store_spec

SMALL = ReportOptions(thumbnail=32)
"""Thumbnails that are quickly made."""

HARM = "<script>document.title='harmed'</script>"
HARMFUL_NAME = f'{HARM}<img src=x onerror="document.title=1">.jpg'
HARMFUL_REASON = f"</script>{HARM} & '\"{{{{ 7 * 7 }}}}"


def mixed_rows() -> dict[str, ImageRow]:
    """An image of each kind. Scores by name: a 0.9 and 0.2, b 0.5, harmful 0.7, refused 0.05."""
    failed_fit = posed_hand(
        3, valid=False, score=None, fit_error="no hand explains it", global_orient=None,
        hand_pose=None, betas=None, transl=None, keypoints_3d=None, keypoints_2d=None,
        predicted_error_mm=None, fit_status="diverged",
    )  # fmt: skip
    known = {
        "mask_iou": 0.87, "residual_px": 2.25, "hand_size": 0.172, "hand_size_source": "given",
    }  # fmt: skip
    return {
        "a/two.jpg": image_row(
            posed_hand(0, score=0.9, predicted_error_mm=3.5, **known),
            posed_hand(1, "left", score=0.2),
        ),
        "b/left.jpg": image_row(posed_hand(2, "left", score=0.5)),
        "b/refused.jpg": image_row(
            posed_hand(4, valid=False, score=0.05, fit_error="looks like no hand")
        ),
        "b/unfitted.jpg": image_row(failed_fit),
        "c/empty.jpg": image_row(),
        "c/broken.jpg": ImageRow(image_status="failed", image_error="expected a picture, found 7"),
        HARMFUL_NAME: image_row(posed_hand(5, score=0.7, fit_error=HARMFUL_REASON)),
    }


def many_rows(count: int) -> dict[str, ImageRow]:
    """So many hands of a few poses; `score` is a permutation of k / count by the image's number."""
    poses = [posed_hand(seed, "left" if seed % 4 == 0 else "right") for seed in range(12)]
    return {
        f"day {k // 100}/{k:05d}.jpg": image_row(
            replace(poses[k % len(poses)], score=((k * 7919) % count) / count)
        )
        for k in range(count)
    }


def write_part(path: Path, rows: dict[str, ImageRow], blocks: int) -> None:
    """A store of blocks of 4 of which only the first ones are finished."""
    with ResultStore.create(path, store_spec(list(rows))) as store:
        listed = list(rows.values())
        for block in store.pending_blocks()[:blocks]:
            store.write_block(block, listed[block.start : block.stop])


def photograph(seed: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 noise of one colour."""
    rng = np.random.default_rng(seed)
    return (rng.random((HEIGHT, WIDTH, 1)) * [200, 20, 20]).astype(np.uint8)
