"""Show the demo's results as a page, and take a picture of it for the docs.

make demo && python scripts/figure_report.py [demo-out/results.zarr] [docs/images/report.jpg]

Needs chromium, as the tests of the page do.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from fitter import OverlayStyle, ReportOptions, write_report

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1100, 700


def main(store: Path, target: Path) -> None:
    """Write the page, and keep what a window of a browser shows of it."""
    options = ReportOptions(style=OverlayStyle("outline", views=("side",)))
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder) / "report.html", Path(folder) / "report.png"
        write_report(store, page, ROOT / "examples", options=options)
        subprocess.run(
            ["chromium", "--headless=new", "--no-sandbox", "--hide-scrollbars",
             f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}", page.as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip
        Image.open(picture).convert("RGB").save(target, quality=82, optimize=True)


if __name__ == "__main__":
    defaults = ["demo-out/results.zarr", "docs/images/report.jpg"]
    main(*map(Path, sys.argv[1:] + defaults[len(sys.argv) - 1 :]))
