"""What several tests of whole runs share."""

import pytest


@pytest.fixture
def told(folder, say, monkeypatch, request):
    """Runs the command in `folder`, in this process, with the `OPTIONS` of the module."""
    monkeypatch.chdir(folder)

    def run(store: str, *more: object, images: str = "in", options=request.module.OPTIONS):
        return say(images, "--out", store, *options, *more)

    return run
