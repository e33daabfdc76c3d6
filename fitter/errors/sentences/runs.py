"""Sentences about commands, devices, workers and clusters."""

_KEPT = "what is done is kept, and --resume continues"

SENTENCES: dict[str, str] = {
    "fit.no_view": "expected an image of at least one view, found none",
    "fit.no_hand": "found no hand in front of the camera that explains these keypoints with this K",
    "fit.phantom": (
        "expected something that looks like a hand with a probability of at least {least:g} in "
        "every look, found {found:.2g}"
    ),
    "fit.unconfirmed": (
        "expected no more cameras that should see it and do not than show it ({shown}), found "
        "{found}: it lies well inside their images and no other hand hides it there"
    ),
    "fit.few_views": (
        "expected at least {least} cameras that show it (detector.least_views), found {found}"
    ),
    "fit.low_quality": (
        "expected a hand whose score is at least {least:g} (output.min_quality), found {found:.2g}"
    ),
    "fit.not_finite": "expected finite keypoints, found some that are not",
    "fit.too_small": ("expected keypoints that span at least {least:g} pixels, found {found:.2g}"),
    "device.missing": (
        "expected a CUDA GPU that this PyTorch can use, found none; use --device cpu"
    ),
    "overlay.among_images": (
        "expected another folder than that of {title}, found the same, where overlays would lie "
        "among images"
    ),
    "overlay.inside_images": (
        "expected a folder outside {root}, found one inside it, where the next run would take the "
        "overlays for images"
    ),
    "overlay.inside_results": "expected a folder outside the results {out}, found one inside them",
    "overlay.look": "expected one of {expected}, found {found!r}",
    "overlay.no_folder": "expected a folder that can be made, found: {reason}",
    "overlay.opacity": "expected a number from 0 to 1, found {found!r}",
    "overlay.other_style": (
        "expected a folder without overlays or with ones of this style, found ones whose {name} is "
        "{was!r} and not {now!r}; give the new ones another folder"
    ),
    "overlay.is_the_video": "expected another file than the video itself, found the same",
    "overlay.one_video": "expected a folder, or one video as the only input, found other images",
    "overlay.style_file": "expected the style of the overlays beside it, found: {reason}",
    "overlay.unwritable": "expected an overlay that can be written, found: {reason}",
    "overlay.view": "expected one of {expected}, found {found!r}",
    "ray.device_contradiction": "expected 0 beside --device cpu, found more",
    "ray.failed": f"Ray failed ({{reason}}); {_KEPT}",
    "ray.head_gone": f"Ray's head is gone; {_KEPT}",
    "ray.no_cluster": "expected the address of a Ray cluster, found {found}",
    "ray.not_installed": (
        "expected the package ray[data], found: {reason}; install fit-hands[ray]"
    ),
    "ray.not_started": f"Ray did not start ({{reason}}); {_KEPT}",
    "ray.too_few_gpus": "expected a cluster with {asked:g} GPUs at least, found {found:g}",
    "run.broken_off": f"{{reason}}; {_KEPT}",
    "run.busy": "another fit-hands run is writing to it",
    "run.busy_share": "another fit-hands run is writing part {share} of it",
    "run.busy_shares": (
        "another fit-hands run is writing to it, as one of --shard 1/{of} to {of}/{of}"
    ),
    "run.image_would_be_lost": (
        "cannot take the new images: its last block would be computed again with them, but {name} "
        "is gone and its results would be lost; put it back, or give the new images another --out"
    ),
    "run.list_order": (
        "expected a mapping from name to value, because the run was started without {count} of the "
        "images, found a list in the order of the names"
    ),
    "run.log_unwritable": "expected a log that can be written, found: {reason}",
    "run.masks_needed": (
        "expected masks for {energy}, from --masks or refine.segmentation and its weights, found "
        "neither; refine.stages={{}} goes without"
    ),
    "run.masks_unused": "expected stages that use masks, found {found}",
    "run.objects_unused": "expected stages with object_penetration or object_attraction, found "
    "{found}; the default's stages have both, others go without --objects",
    "run.new_beside_people": (
        "cannot take what is new ({count} of the images): the shapes of its people or tracks were "
        "made without them; fit all of them into another --out"
    ),
    "run.other_images": (
        "cannot be resumed: expected some of its images, such as {expected!r}, found none of them, "
        "but {found!r}; give the folder or list that it was started with, or another --out"
    ),
    "run.other_inputs": (
        "cannot be resumed: what is given for {name} now ({options}) is not "
        "what it was fitted with; use --overwrite to replace the store, or another --out"
    ),
    "usage.dataset_folder": "expected one folder of a data set beside it, found {found}",
    "usage.dataset_missing": "expected --dataset NAME beside it, found none",
    "usage.gpus_without_ray": "expected --ray beside it, found none",
    "usage.other_datasets": (
        "expected fit-hands' own package `datasets`, found another; install fit-hands in an "
        "environment of its own (a virtual environment, pipx or uv tool)"
    ),
    "usage.camera_alone": "expected a camera alone, found --views or --dataset beside it",
    "usage.images_or_camera": "expected one of them",
    "usage.overlays_missing": "expected a folder for overlays beside it, found none",
    "usage.shard_and_overwrite": (
        "expected one of them, because other shards may be at work in the store"
    ),
    "usage.textures_without_people": "expected --same-hand or --people beside it, found neither",
    "usage.two_people": "expected one of them, found both",
    "usage.wait_without_shard": "expected --shard I/N beside it, found none",
    "worker.lost_at_start": "what detects hands {how} while it was loaded",
    "worker.undetectable": (
        "expected an image that can be looked at, found one that, tried twice, {how}"
    ),
    "worker.unexpected": "unexpected {kind}: {reason}",
    "worker.unfittable": "expected an image whose hands can be fitted, found one that {how}",
}
