"""Opening a viewer: what is asked for is checked before the page's packages are loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from fitter.errors import InputError
from fitter.store.files import require_store
from fitter.viewer.options import ViewerOptions

if TYPE_CHECKING:
    from fitter.viewer.server import Viewer


def open_viewer(
    store: str | Path,
    images: str | Path | None = None,
    *,
    options: ViewerOptions | None = None,
    model: str | Path | None = None,
) -> Viewer:
    """Serve a page that shows a store's pictures, cameras, hands and tracks, as `view-hands` does.

    Nothing is written, nothing is asked of the network, and no browser is opened. A store that is
    not finished is shown as far as it is. Needs the package viser, the extra `viewer`.

    Args:
        store: that `fit-hands` wrote, of images or of frames.
        images: the folder that `fit-hands` was given. Without it, and where a picture is gone or
            has another size, hands are shown without.
        options: where it listens; None is `ViewerOptions()`.
        model: where the hand model's file is now, if it is no longer where the store says.

    Returns:
        The viewer, which runs until its `close`; it is a context manager, too.

    Raises:
        InputError: there is no such store or folder, the store or its hand model is damaged or
            gone, viser is not installed (`viewer.no_viser`), or the page cannot
            listen there (`viewer.listen`).

    ```python
    import fitter

    with fitter.open_viewer("results.zarr", "photos") as viewer:
        print(viewer.url)  # and viewer.wait() until Ctrl-C
    ```
    """
    require_store(Path(store))
    if images is not None and not Path(images).is_dir():
        raise InputError("viewer.images", file=Path(images))
    if importlib.util.find_spec("viser") is None:
        raise InputError("viewer.no_viser", file="viser")
    from fitter.inputs.photographs import Photographs
    from fitter.results import open_either
    from fitter.viewer.rows import StoreRows
    from fitter.viewer.scene import SceneMaker
    from fitter.viewer.server import serve

    options = options or ViewerOptions()
    rows = StoreRows(open_either(Path(store), model))
    photographs = None if images is None else Photographs(Path(images))
    return serve(SceneMaker(rows, photographs, options.picture_side), options)
