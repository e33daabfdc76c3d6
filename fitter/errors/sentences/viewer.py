"""Sentences about the viewer."""

SENTENCES: dict[str, str] = {
    "viewer.images": "expected the folder of the pictures, found none",
    "viewer.listen": "cannot listen there: {reason}",
    "viewer.no_viser": "expected the package viser (pip install 'fit-hands[viewer]') to show "
    "results in a browser, found none",
    "viewer.picture_side": "expected a number of pixels from 1 on, found {found}",
    "viewer.port": "expected a port from 0 to {most}, found {found}",
}
