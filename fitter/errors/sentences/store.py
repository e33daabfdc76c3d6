"""Sentences about the result store and other output."""

_INSTEAD = "use --overwrite to replace it, or another --out"

SENTENCES: dict[str, str] = {
    "output.address": (
        "expected a folder of this machine for results, found an address, where nothing keeps two "
        "runs from writing the same results; write to a disk and copy the finished store"
    ),
    "output.cannot_add": "cannot add images: {reason}",
    "output.cannot_continue": "cannot continue the results: {reason}",
    "output.cannot_write": "cannot write: {reason}",
    "output.is_file": "expected a folder, found a file",
    "output.no_folder": "cannot write results there: there is no folder {folder}",
    "output.no_name": "cannot write results there: give them a folder of their own",
    "output.not_ours": "exists and is no result store, so it is left alone",
    "output.taken": (
        "already holds results: use --resume to continue it or --overwrite to replace it"
    ),
    "report.images": "expected the folder of the photographs, found none",
    "report.inside_results": "expected a file outside the results {store}, found one inside them",
    "report.is_folder": "expected a file to write the page to, found a folder",
    "report.no_photograph": (
        "expected the photographs of the results, such as {name}, found none that can be read "
        "({reason})"
    ),
    "report.order": "expected {expected}, found {found!r}",
    "report.taken": "exists: use --overwrite to replace it, or another --out",
    "report.thumbnail": "expected {least} to {most} pixels, found {found}",
    "store.damaged": "expected a whole result store, found a damaged one ({reason})",
    "store.damaged_names": "the result store's list of images is damaged: {reason}",
    "store.damaged_variable": (
        "expected a whole result store, found a damaged {variable} ({reason})"
    ),
    "store.gone": "is gone, and another fit-hands run has its place",
    "store.has_frames": (
        "expected results of single images, found those of frames that several cameras have seen "
        "(fit-hands --views); fitter.open_frames, export-hands and xarray.open_zarr read them"
    ),
    "store.has_images": (
        "expected results of frames that several cameras have seen (fit-hands --views), found "
        "those of single images; fitter.open_results reads them"
    ),
    "store.other_rows": (
        f"cannot be resumed: its rows are {{was}}, and this run makes {{now}} (--views); {_INSTEAD}"
    ),
    "store.lost": "is a damaged result store: it has lost {what}",
    "store.missing": "there is no such result store",
    "store.no_image": "there is no image to make results for",
    "store.not_ours": "is no result store (expected a Zarr folder made by fit-hands)",
    "store.older_names": (
        "cannot be resumed: it was made by an earlier version, in which variables and options had "
        f"other names; it can still be read; {_INSTEAD}"
    ),
    "store.other_order": (
        "cannot be resumed: {name} had the order {was} and has {now} now; " + _INSTEAD
    ),
    "store.other_people": (
        "cannot be resumed: it was started with {was} and would go on with {now}; give it "
        f"what it was started with, {_INSTEAD}"
    ),
    "store.other_value": (
        "cannot be resumed: {name} was {was!r} when it was started and is {now!r} now; " + _INSTEAD
    ),
    "store.replaced": (
        "was deleted or replaced while results were written to it; what was in it is gone, and "
        "nothing more is written"
    ),
    "store.version": "has format version {found}, this program reads {expected}",
}
