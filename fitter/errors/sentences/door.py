"""Sentences about calls from Python and about results that are read back."""

SENTENCES: dict[str, str] = {
    "door.count": "expected one for each of the {expected} images, found {found}",
    "door.dataset": (
        "expected images or samples, found a data set of {count:,}, which would be decoded as a "
        "whole; fit it with fit-hands --dataset, or give some samples: [data_set[k] for k in "
        "range(64)]"
    ),
    "door.images": (
        "expected the path of an image, an array (height, width, 3) of uint8, or a list of these, "
        "found {found}"
    ),
    "door.hands": (
        "expected a list of hands, each a HandObservation or a mapping with side and keypoints, "
        "found {found}"
    ),
    "door.no_keypoints": "expected samples whose hands have keypoints in the image, found none",
    "door.no_masks": "expected a sample with masks at least, found none",
    "door.no_objects": "expected a sample with objects at least, found none",
    "door.objects": "expected a list of objects, each with mesh, rotation and translation, found "
    "{found}",
    "door.run_dataset": "expected a data set as fitter.DatasetRequest(name), found {found}",
    "door.run_images": (
        "expected the path or address of images, or a list of these, found {found}; a data set is "
        "given by its folder, and dataset=fitter.DatasetRequest(name)"
    ),
    "door.video": (
        "expected the path of an image, found that of a video; its frames are given by "
        "fitter.video_frames, or fitted by fitter.fit_to_store"
    ),
    "door.shard": (
        "expected the path of an image, found that of a tar file; its images are fitted by "
        "fitter.fit_to_store, and by fit-hands"
    ),
    "door.options": "expected a mapping such as {{'fit.max_iterations': 50}}, found {found}",
    "door.option": "expected section.option such as fit.max_iterations, found {found!r}",
    "hand.not_fitted": "expected a hand that was fitted, found one whose fit failed: {reason}",
    "hand.other_image": (
        "expected the image that was fitted, {expected[0]} x {expected[1]} pixels, found one of "
        "{found[0]} x {found[1]}"
    ),
    "hand.no_camera": (
        "expected a hand of the image, whose camera objects are placed in, found none"
    ),
    "texture.count": "expected one for each of the {expected} hands, found {found}",
    "texture.models": (
        "expected hands that were fitted with one model, found {expected} and {found}"
    ),
    "texture.no_hand": "expected at least one hand",
    "texture.no_uv": (
        "expected a hand model with texture coordinates, which {model} has not; the open hand has "
        "them"
    ),
    "results.no_image": "expected the name of an image in these results, found {name!r}",
    "results.model_moved": (
        "expected the file of the hand model that {store} was made with, found no such file; put "
        "it back there, or say where it is now: --model FILE of export-hands, model= of "
        "fitter.open_results"
    ),
    "results.other_model": (
        "expected the hand model {name} with the digest {expected} that the results were made "
        "with, found one with {found}"
    ),
}
