"""A store of results to walk through in a browser: pictures, cameras, hands, tracks.

    rows -> scene -> drawing, controls -> page -> server

`scene` is what is to be seen, without a browser; `drawing` and `controls` put it on viser's page.

```python
from fitter.results import open_results
from fitter.viewer.rows import StoreRows
from fitter.viewer.scene import SceneMaker

rows = StoreRows(open_results("results.zarr"))
scene = SceneMaker(rows, photographs=None).scene(0)
print(scene.name, [seen.title for seen in scene.hands])
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.viewer.opening import open_viewer
    from fitter.viewer.options import ViewerOptions
    from fitter.viewer.server import Viewer

__all__ = ["Viewer", "ViewerOptions", "open_viewer"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Viewer": "fitter.viewer.server",
        "ViewerOptions": "fitter.viewer.options",
        "open_viewer": "fitter.viewer.opening",
    },
)
