"""Render `docs/images/touching.jpg`: hands that touch each other or hold something."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from datasets.synthetic import SyntheticEngine, SyntheticSettings  # noqa: E402
from datasets.synthetic.touching.engine import InteractionEngine  # noqa: E402
from datasets.synthetic.touching.request import InteractionKind  # noqa: E402

SIZE, COLUMNS = 192, 6
ROWS: tuple[InteractionKind, ...] = ("hands", "hands", "objects")
SEED = 4


def main() -> None:
    """Render the figure, at the place named on the command line if any."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images" / "touching.jpg"
    torch.set_num_threads(1)
    engine = SyntheticEngine(SIZE, SyntheticSettings.unoccluded())
    rows = []
    for row, what in enumerate(ROWS):
        touching = InteractionEngine(engine, what)
        scenes = [touching.sample(SEED, COLUMNS * row + k) for k in range(COLUMNS)]
        rows.append(
            np.concatenate([touching.render(scene)[0].image[0].numpy() for scene in scenes], axis=1)
        )
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(buffer, "JPEG", quality=80, optimize=True)
    target.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
