"""Tile the demo's overlays into the README's image.

make demo && python scripts/figure_examples.py [demo-out/overlays] [docs/examples.jpg]
"""

import sys
from pathlib import Path

from PIL import Image

COLUMNS, WIDTH, HEIGHT = 4, 320, 240


def main(overlays: Path, target: Path) -> None:
    """Shrink all overlays and put them side by side, in the order of their names."""
    paths = sorted(overlays.glob("*.jpg"))
    rows = -(-len(paths) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * WIDTH, rows * HEIGHT))
    for i, path in enumerate(paths):
        tile = Image.open(path).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        sheet.paste(tile, (i % COLUMNS * WIDTH, i // COLUMNS * HEIGHT))
    sheet.save(target, quality=88)


if __name__ == "__main__":
    defaults = ["demo-out/overlays", "docs/examples.jpg"]
    main(*map(Path, sys.argv[1:] + defaults[len(sys.argv) - 1 :]))
