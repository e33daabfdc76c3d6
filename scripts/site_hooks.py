"""Hooks of `mkdocs`: links out of `docs/`, and anchors as where the repository is shown.

Pages link to files of the repository, such as `../fitter/camera.py`, which a site of pages has not;
there the text of the link remains. Links to the README lead to the site's first page.
"""

from __future__ import annotations

import re
from typing import Any

from pymdownx.slugs import slugify

OUTSIDE = re.compile(r"(?<!!)\[([^\]]+)\]\((?:\.\./)+([^)\s]+)\)")


def on_config(config: Any) -> Any:
    """Headings get the anchors that they have where the repository is shown."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page without links out of `docs/`."""

    def inside(link: re.Match[str]) -> str:
        return f"[{link[1]}](index.md)" if link[2].startswith("README.md") else link[1]

    return OUTSIDE.sub(inside, markdown)
