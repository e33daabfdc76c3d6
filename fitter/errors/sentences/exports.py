"""Sentences about exports of fitted hands."""

SENTENCES: dict[str, str] = {
    "export.address": (
        "expected a file or folder of this machine for what is exported, found an address"
    ),
    "export.ending": "expected a file name that ends in one of {expected}, found {found!r}",
    "export.exists": (
        "exists, and is left alone: use --overwrite to replace files, or another --out"
    ),
    "export.format": "expected a format out of {expected}, found {found!r}",
    "export.in_store": "expected a place of its own for what is exported, found a result store",
    "export.is_file": "expected a folder for {format} files, found a file",
    "export.is_folder": "expected a file name for {format}, found a folder",
    "export.mano_needed": (
        "expected hands fitted with MANO, which {format} is made of, found {model} with {vertices} "
        "vertices; --mano MANO_RIGHT.pkl converts them"
    ),
    "export.mano_unused": "expected the format mano-npz or freihand with --mano, found {format}",
    "export.no_folder": "cannot write there: there is no folder {folder}",
    "export.no_hand": "expected a hand to export, found {found}",
    "export.not_mano": (
        "expected your MANO_RIGHT.pkl with --mano, found a hand model of another kind, {found}"
    ),
    "export.per": (
        "expected --per {expected} with the format {format}, which is one file, found {found}"
    ),
    "export.per_name": "expected --per hand, image, person or track, found {found!r}",
    "export.per_track": "expected --per track with bvh, and with glb or bvh alone, found {found} "
    "with {format}",
    "export.images_unused": "expected the format rrd with --images, found {format}",
    "export.textures_track": "expected another --per than track with --textures, which are of "
    "single pictures",
    "export.no_rerun": "expected the package rerun-sdk (pip install 'fit-hands[rerun]'), found "
    "none",
    "export.no_images": "expected the folder of the images, found no such folder",
    "export.no_person": (
        "expected results that say whose hand each is, for --per person, found none; fit-hands "
        "--people FILE or --same-hand makes such"
    ),
    "export.no_image": (
        "expected the name of an image in the results, or a pattern of such, found {found!r}"
    ),
    "export.textures_unused": "expected one of {expected} with --textures, found {format}",
    "export.vertices_unused": "expected the format json with --save-vertices, found {format}",
}
