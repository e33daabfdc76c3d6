"""Reports as a browser takes them apart."""

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image


class Page(HTMLParser):
    """A page as a browser takes it apart: elements, rows and thumbnails."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[int, str] = {}
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        place = len(self.elements) - 1
        self.texts[place] = self.texts.get(place, "") + data

    def contents(self, tag: str, **attributes: str) -> list[str]:
        return [
            self.texts.get(place, "")
            for place, (found, has) in enumerate(self.elements)
            if found == tag and attributes.items() <= has.items()
        ]

    @property
    def rows(self) -> list[dict]:
        """All rows, each with its "thumbnail" as an array."""
        found = []
        parts = (self.contents("script", **{"class": name}) for name in ("rows", "thumbnails"))
        for rows, thumbnails in zip(*parts, strict=True):
            lines = thumbnails.split("\n")
            for row in json.loads(rows):
                if "thumbnail" in row:
                    content = base64.b64decode(lines[row["thumbnail"]])
                    row["thumbnail"] = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
                found.append(row)
        return found
