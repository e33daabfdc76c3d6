"""Render `docs/images/silhouettes.png`: three silhouettes of the open hand, and their edges."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from fitter.hand_models import load_hand_model  # noqa: E402
from fitter.raster import MeshTopology, RasterSettings, rasterize  # noqa: E402
from fitter.records import HandParams  # noqa: E402

SIZE = 128
SHARE = 0.8
"""Of the image that the hand spans."""
WINDOW = (slice(14, 46), slice(48, 80))
"""Rows and columns of the enlarged part: fingertips and a gap between two fingers."""
STEPS = torch.arange(-160, 161) / 40
"""Pixels by which the hand is moved past one pixel."""
KINDS = {
    "hard": RasterSettings(),
    "edge, band 1": RasterSettings(silhouette="edge"),
    "soft, sigma 1e-4": RasterSettings(silhouette="soft", sigma=1e-4),
    "soft, sigma 1e-5": RasterSettings(silhouette="soft", sigma=1e-5),
}
COLOURS = dict(zip(KINDS, ("black", "tab:blue", "tab:red", "tab:orange"), strict=True))


def open_hand(size: int) -> tuple[Tensor, MeshTopology]:
    """The right hand at rest, back to the camera, fingers up: screen vertices (1, V, 3), faces."""
    model = load_hand_model()
    zero = torch.zeros(1, 3)
    points = model(HandParams(zero, zero.expand(15, 3)[None], torch.zeros(1, 10), zero)).vertices
    # Model axes: -x to the fingers, +y out of the back, +z to the thumb.
    place = torch.stack([-points[..., 2], points[..., 0]], dim=-1)
    low, high = place.amin(dim=1), place.amax(dim=1)
    scale = SHARE * size / (high - low).amax()
    place = (place - (low + high) / 2) * scale + size / 2
    screen = torch.cat([place, 0.5 - points[..., 1:2]], dim=-1).double()
    return screen, MeshTopology(torch.as_tensor(model.data.faces))


def alpha_of(
    vertices: Tensor, topology: MeshTopology, size: int, settings: RasterSettings
) -> Tensor:
    """(B, size, size): the silhouette; of a hard one, which pixels are hit."""
    fragments = rasterize(vertices, topology, (size, size), settings=settings)
    return fragments.mask.double() if fragments.alpha is None else fragments.alpha


def exact_area(finer: int = 16) -> float:
    """Square pixels of the outline, counted on a grid that many times finer."""
    vertices, topology = open_hand(finer * SIZE)
    return alpha_of(vertices, topology, finer * SIZE, KINDS["hard"]).sum().item() / finer**2


def outline_pixel(hard: Tensor) -> tuple[int, int]:
    """Row and column of the hand's leftmost pixel half way up the image."""
    row = SIZE // 2
    return row, int(hard[0, row].nonzero()[0])


def across_the_outline(settings: RasterSettings) -> Tensor:
    """(N,): what the outline's pixel shows while the hand moves to its left by `STEPS`."""
    vertices, topology = open_hand(SIZE)
    row, column = outline_pixel(alpha_of(vertices, topology, SIZE, KINDS["hard"]))
    moved = vertices.repeat(len(STEPS), 1, 1)
    moved[..., 0] -= STEPS[:, None]
    return alpha_of(moved, topology, SIZE, settings)[:, row, column]


def main() -> None:
    """Render the figure, at the place named on the command line if any; print the areas."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    default = ROOT / "docs" / "images" / "silhouettes.png"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    vertices, topology = open_hand(SIZE)
    exact = exact_area()
    figure, axes = plt.subplots(
        2, 4, figsize=(12, 6), layout="constrained", width_ratios=(1, 1, 1, 1.35)
    )
    shown = tuple(KINDS)[:3]
    for name, settings in KINDS.items():
        alpha = alpha_of(vertices, topology, SIZE, settings)[0]
        wider = 100 * (alpha.sum().item() / exact - 1)
        print(f"{name}: area {alpha.sum():.1f} square pixels, {wider:+.2f} % of {exact:.1f}")
        if name in shown:
            top, bottom = axes[:, shown.index(name)]
            top.set_title(f"{name}\narea {round(wider, 1) + 0.0:+.1f} %")
            for axis, image in ((top, alpha), (bottom, alpha[WINDOW])):
                axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                axis.set(xticks=[], yticks=[])
        profile = across_the_outline(settings)
        slope = torch.gradient(profile, spacing=(STEPS.double(),))[0]
        axes[0, 3].plot(STEPS, profile, color=COLOURS[name], label=name)
        if name != "hard":
            axes[1, 3].plot(STEPS, slope, color=COLOURS[name], label=name)
    axes[0, 3].set_title("a pixel as the hand moves over it")
    axes[0, 3].set_ylabel("alpha")
    axes[1, 3].set_ylabel("its derivative, 1 / pixel")
    axes[1, 3].set_xlabel("pixels that the hand has moved")
    for axis in axes[:, 3]:
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(target, dpi=90)


if __name__ == "__main__":
    main()
