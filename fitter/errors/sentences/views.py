"""Sentences about rigs of cameras, frames that they have seen, and results of them."""

_RIGS = {
    "rig.camera": "expected an object with name, K, R and t, found {found}",
    "rig.camera_kind": "expected a fitter.RigCamera, found {found}",
    "rig.centre": "expected the principal point of K in the images, which have {expected[0]} x "
    "{expected[1]} pixels, found ({found[0]:.1f}, {found[1]:.1f}): K is of images of another size; "
    "where it is right, as for a crop, give size",
    "rig.distortion": "expected {expected} coefficients (OpenCV's order), found {found}",
    "rig.far": "expected lengths in metres, found cameras {one!r} and {other!r} {found:.4g} m "
    "apart, more than {most:g} m: is t in millimetres?",
    "rig.field_in_brackets": "expected {{frame}} outside of brackets, found {found!r}",
    "rig.images": "expected images as a folder or a pattern below the folder of all images, found "
    "{found}",
    "rig.kind": "expected a fitter.Rig, the path of a rig file or what stands in one, found "
    "{found}",
    "rig.lacks": "expected {expected}, found no {found}",
    "rig.layout": 'expected a JSON object with a list "cameras", found {found}',
    "rig.lens": "expected coefficients by which the lens shows at least {least:.0%} of the image, "
    "found ones that turn round and show {found:.0%}",
    "rig.name": "expected a name of characters that can be printed, found {found}",
    "rig.no_camera": "expected at least one camera, found {found}",
    "rig.no_folder": "expected a folder with its images, found none at {folder}",
    "rig.no_image": "expected pictures ({endings}) of the camera, found none in {found}",
    "rig.no_match": "expected a pattern that pictures ({endings}) of the camera match, found none "
    "for {found}",
    "rig.no_numbers": "expected numbers ({expected}), found {found}",
    "rig.no_rotation": "expected a rotation, whose R R^T is the identity to within {most:g}, found "
    "one that is off by {found:.3g}",
    "rig.not_finite": "expected finite numbers, found nan or infinity",
    "rig.other_size": "expected images of {expected[0]} x {expected[1]} pixels, as size says, "
    "found another size in the first {count} of the camera: {found[0]} x {found[1]} in {image}",
    "rig.outside": "expected a folder or pattern below the folder of all images, found {found!r}, "
    "which leads out of it",
    "rig.reflection": "expected a rotation, found one with a reflection (its determinant is -1): "
    "an axis or a hand of the frame is turned round",
    "rig.same_images": "expected other images of each camera, found {found!r} for {one!r} and "
    "{other!r}",
    "rig.shape": "expected {expected} numbers, found {found}",
    "rig.size": "expected the size of the images as [width, height] in pixels, found {found}",
    "rig.some_placed": 'expected "images" of every camera or of none, found it of {other!r} and '
    "not of {camera!r}",
    "rig.twice": "expected one camera of each name, found two called {camera!r}",
    "rig.two_fields": "expected {{frame}} once in a pattern, found {found!r}",
    "rig.unknown_key": "expected {expected}, found {found!r}, which is none of them",
}

_FRAMES = {
    "frames.by_camera": "expected a mapping from names of cameras, found {found}",
    "frames.camera": "expected names of cameras of the rig ({expected}), found {found!r}",
    "frames.empty": "expected an image of at least one camera, found none",
    "frames.image": "expected the path of an image or an array (height, width, 3) of uint8, found "
    "{found}",
    "frames.kind": "expected a frame as a mapping from names of cameras to images, or a list of "
    "these, found {found}",
    "frames.image_twice": "expected other images of each camera, found {image} for {one!r} and for "
    "{other!r}",
    "frames.name": "expected names without control characters, found {found}",
    "frames.no_folder": "expected the folder of the images of all cameras, found no such folder",
    "frames.no_view": "expected an image of camera {found!r}, for which this is given, found none",
    "frames.none_shared": "expected a frame that two cameras have an image of, found none: frames "
    "are told by their names, and the first ones are {first} and {second}; a pattern with "
    '{{frame}} as "images" says which part of a name counts',
    "frames.two_images": "expected one image of the frame {frame!r} of camera {camera!r}, found "
    "{one} and {other}",
    "view.beyond_lens": "expected keypoints where the lens of camera {camera!r} shows something, "
    "found all of a hand where by its coefficients it shows nothing",
    "view.size": "expected an image of camera {camera!r} of {expected[0]} x {expected[1]} pixels, "
    "found {found[0]} x {found[1]}",
    "views.count": "expected {what} of each of the {expected} frames, found {found}",
    "views.export": "expected results of single images for {format}, which says where hands are in "
    "an image, found those of frames; glb, obj, ply, mano-npz, csv and json write "
    "them",
    "views.few_cameras": "expected at most {expected}, as many cameras as there are (--views gives "
    "several), found {found}",
    "views.folder": "expected one folder, of the images of all cameras, beside --views, found "
    "{found}",
    "views.keypoint_list": "expected keypoints by the images' names or as OpenPose's files beside "
    "--views, found a list, whose order frames have not",
    "views.no_image": "expected a camera of the frame that has an image ({expected}), found "
    "{found!r}",
    "views.option": "expected no such option beside --views, {why}, found it",
    "views.textures": "expected results of single images, from which textures are extracted, found "
    "those of frames",
}

SENTENCES: dict[str, str] = {**_RIGS, **_FRAMES}
