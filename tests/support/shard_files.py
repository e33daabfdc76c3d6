"""Tar files as webdataset makes them, a server that sends parts of files, and what a run says."""

import functools
import http.server
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support import bad_files

K = [[800.0, 0.0, 320.0], [0.0, 800.0, 240.0], [0.0, 0.0, 1.0]]
"""Of `bad_files.HAND`, 640 x 480."""

TIME = 1_700_000_000
"""Of every member, seconds since 1970."""


def write_shard(path: Path, members: Mapping[str, bytes]) -> Path:
    """A tar file with these members in this order."""
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), TIME
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(keys: list[str], **beside: bytes) -> dict[str, bytes]:
    """An image for each key, and files with these endings beside it."""
    found = {}
    for key in keys:
        found[f"{key}.jpg"] = bad_files.HAND.read_bytes()
        found |= {f"{key}.{ending}": content for ending, content in beside.items()}
    return found


def cut(path: Path, size: int) -> None:
    """Keep the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:size])


def k_json(**more: object) -> bytes:
    return json.dumps({"K": K, **more}).encode()


class _PartsHandler(http.server.SimpleHTTPRequestHandler):
    """Sends the range that is asked for, which the library's own handler does not."""

    sends_parts = True

    def send_head(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not (self.sends_parts and asked and path.is_file()):
            return super().send_head()
        content = path.read_bytes()
        start, stop = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        part = content[start : stop + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        return io.BytesIO(part)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path, sends_parts: bool = True) -> Iterator[str]:
    """The address of a server that sends what is in a folder."""
    handler = type("Handler", (_PartsHandler,), {"sends_parts": sends_parts})
    made = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), made) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
