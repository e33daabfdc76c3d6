"""Sentences about images, keypoints, masks and lists."""

_IMAGES = {
    "image.damaged": "expected a whole picture, found a damaged or cut-off file ({reason})",
    "image.empty": "expected a picture, found an empty file",
    "image.far_too_large": "expected at most {max_pixels:,} pixels, found a larger picture",
    "image.folder": "expected a picture, found a folder",
    "image.format": "expected a picture, found a file in no known picture format",
    "image.grey_range": "expected grey values from 0 to 65535, found {least} to {most}",
    "image.memory": "expected a picture that fits into memory, found too little left of it",
    "image.missing": "expected a picture, found no such file",
    "image.missing_pixels": "expected a whole picture, found {found:,} of the {width} x {height} "
    "pixels that the file claims",
    "image.no_avif": "needs Pillow 11.3 or later, which reads AVIF: pip install --upgrade pillow",
    "image.no_heif": "needs pillow-heif, which reads HEIC and is not installed: pip install "
    "'fit-hands[heif]'",
    "image.no_numbers": "expected numbers for grey values, found none that is finite",
    "image.not_regular": "expected a picture, found no regular file",
    "image.outside": "expected an image below {folder}, found a name that leads out of it",
    "image.permission": "expected a picture that may be read, found no permission to read it",
    "image.tiff": "expected a TIFF of up to 16 bits a channel, or grey of up to 32 (floating-"
    "point, too), found a kind that is not read, or a damaged one",
    "image.too_few_bytes": "expected a whole picture, found {length:,} bytes, too few for the "
    "{width} x {height} pixels that they claim",
    "image.too_large": "expected at most {max_pixels:,} pixels, found {width} x {height} = "
    "{pixels:,}",
    "image.too_small": "expected a picture of at least {min_side} pixels a side, found {width} x "
    "{height}",
    "image.unreadable": "expected a picture, found: {reason}",
}

_ARRAYS = {
    "array.channels": "expected 3 channels (RGB), found {found}",
    "array.dtype": "expected {expected}, found {found}",
    "array.empty": "expected at least one pixel, found the shape {shape}",
    "array.shape": "expected the shape {expected}, found {shape}",
}

_KEYPOINTS = {
    "keypoints.coco_image": 'expected "file_name" in every picture of COCO\'s "images", found one '
    "without",
    "keypoints.confidence": "expected confidences from 0 to 1 in the third column, and up to "
    "{low:g} and {high:g}, which are clipped, found {least:g} to {most:g}",
    "keypoints.count": "expected as many entries as pictures, {count}, found {found}",
    "keypoints.handedness": "expected the handedness of each of the {expected} hands, found "
    "{found}",
    "keypoints.identity": "expected {what} to be a number or a name, found {found!r}",
    "keypoints.label": "expected MediaPipe's handedness to be Left or Right, found {found!r}",
    "keypoints.layout": "expected a JSON list or object with keypoints, found {found}",
    "keypoints.metres": "expected positions in pixels (u, v, confidence), found numbers all below "
    "{limit:g} in size, which look like metres (x, y, z) or shares of the width",
    "keypoints.no_fields": "expected people with hand_left_keypoints_2d or "
    "hand_right_keypoints_2d, found one with {found}",
    "keypoints.no_files": "expected JSON files named after the pictures, such as "
    "<image>_keypoints.json, found none",
    "keypoints.no_hand": 'expected an object with "side" and "keypoints"',
    "keypoints.no_image_id": 'expected "image_id" in every result, found none in number {number}',
    "keypoints.no_list": "expected a list of hands, found {found}",
    "keypoints.no_numbers": "expected {expected} numbers, found something else ({reason})",
    "keypoints.no_people": 'expected OpenPose\'s JSON with a list "people"',
    "keypoints.no_person": "expected an object as person {number}",
    "keypoints.no_size": "expected positions in pixels, found MediaPipe's shares of the picture's "
    "sides, and the size of the picture is not known here",
    "keypoints.normalised": "expected positions in pixels, found numbers from {least:.3g} to "
    "{most:.3g}, which look like shares of the picture's sides: multiply them by its width and "
    "height (OpenPose: --keypoint_scale 0)",
    "keypoints.not_finite": "expected finite numbers, found nan or infinity",
    "keypoints.number": "expected 21 keypoints of a hand, or {known} of a person, found {found}",
    "keypoints.one_picture": "expected a folder with a file for each of the {count} pictures, "
    "found a file about one picture",
    "keypoints.other_files": "expected files named after the pictures, such as {expected} for "
    "{image}, found others, such as {found}, and none for any picture",
    "keypoints.other_size": "expected annotations of a picture of {expected[0]} x {expected[1]}, "
    "found those of one of {found[0]} x {found[1]}",
    "keypoints.outside": "expected keypoints in a picture of {width} x {height}, found every one "
    "outside it, as far as ({x:.0f}, {y:.0f}): they belong to another picture or to another "
    "resolution of it",
    "keypoints.parameters": "expected keypoints in pixels, found the parameters of a body or hand "
    "model (as of Hand4Whole), which say nothing of pixels: give the keypoints that they were "
    "fitted to",
    "keypoints.score": "expected the score of a hand's side as a number from 0 to 1, found "
    "{found!r}",
    "keypoints.shape": "expected {expected} numbers, found {found}",
    "keypoints.shared_entry": "expected an entry for every picture, found that {one!r} and "
    "{other!r} share {shared!r}",
    "keypoints.shared_file": "expected a file for every picture, found that {one!r} and {other!r} "
    "share {shared}",
    "keypoints.side": 'expected "side" to be "left" or "right", found {found!r}',
    "keypoints.too_far": "expected positions in pixels, found {found:g}, which no picture reaches",
    "keypoints.untold_side": 'expected which hand it is, left or right as "side", found nothing '
    "that says so, and the detector, which is asked then, sees no hand there",
    "keypoints.whole_number": "expected a whole number as {what}, found {found!r}",
}

_HAND_SIZES = {
    "hand_size.layout": "expected a JSON object (image name or pattern: metres), found {found}",
    "hand_size.metres": "expected metres from the wrist along the bones to the middle fingertip, "
    "{least:g} to {largest:g}, found {found}",
    "hand_size.no_image": "expected names of images such as {image!r}, or patterns that match "
    "them, found {found!r}, which matches none",
    "hand_size.two_patterns": "expected one size for {image!r}, found the patterns {found} with "
    "different ones; give the image an entry of its own",
}

_PEOPLE = {
    "people.empty": "expected at least one image and whose hand it shows, found none",
    "people.hand": 'expected a hand of {image!r} to be "left", "right" or the number of a slot, '
    "found {found!r}",
    "people.header": "expected a first line with the columns image, person and perhaps hand, with "
    "commas between them, found {found!r}",
    "people.kind": "expected a CSV table (.csv), or a JSON or YAML object (image name or pattern: "
    "person), found {found}",
    "people.line": "expected an image, a person and perhaps a hand in line {line}",
    "people.missing": "expected a CSV, JSON or YAML file that says whose hands the images show, "
    "found nothing",
    "people.no_image": "expected names of images such as {image!r}, or patterns that match them, "
    "found {found!r}, which matches none",
    "people.nobody": "expected a person's name for {image!r}, found none; leave out images whose "
    "hands are nobody's",
    "people.twice": "expected one entry for {hand} of {image!r}, found two",
    "people.two_patterns": "expected one person for {image!r}, found the patterns {found} with "
    "different ones; give the image an entry of its own",
    "people.two_sizes": "expected one size of the hands of {person}, found {one:g} m, and "
    "{other:g} m for {image!r}",
    "people.unreadable": "expected a file that can be read, found: {reason}",
}

_MASKS = {
    "mask.array": "expected a mask as an array (height, width) of numbers, found {found}",
    "mask.inverted": "expected a mask of the hands, found {outside} of their {count} keypoints "
    "outside it, and {share:.0%} of the image in it: it seems to be inverted",
    "mask.is_the_image": "expected a mask for {image!r}, found the picture itself there",
    "mask.labels": "expected values above half of {span} where there is a hand (or 0 and 1 alone), "
    "found values from {least} to {most}",
    "mask.no_folder": "expected a folder with masks, found nothing there",
    "mask.none": "expected masks named like the pictures, such as {wanted!r} for {image!r}, found "
    "none of them",
    "mask.not_a_folder": "expected a folder with masks, found a file",
    "mask.shared": "expected a mask for every picture of its own, found that {one!r} and {other!r} "
    "share {shared!r}",
    "mask.size": "expected a mask of {expected} pixels as its picture {image!r} has, or scaled "
    "from it, found {found}",
    "mask.unreadable": "{reason}",
    "mask.unlistable": "expected a folder of masks that may be listed, found {reason}",
}

_LISTS = {
    "json.invalid": "expected JSON with {content}, found {reason}",
    "json.missing": "expected a JSON file with {content}, found nothing",
    "json.unreadable": "expected a JSON file, found: {reason}",
    "list.closed": "expected a list of pictures, found it closed",
    "list.empty": "expected a list of pictures, one path a line, found none in it",
    "list.empty_folder": "expected a folder with pictures ({endings}), found none in it",
    "list.ending": "expected a folder or a picture ({endings}), found a file that ends in "
    "{found!r}",
    "list.line_is_folder": "expected a picture ({endings}), found the folder {found!r}",
    "list.line_is_no_image": "expected a picture ({endings}), found {found!r}",
    "list.long_line": "expected a path, found a line of {length:,} bytes or more",
    "list.no_arguments": "expected a folder or a picture, found no argument",
    "list.no_folder": "expected a pattern that pictures match, found no folder {folder!r}",
    "list.no_match": "expected a pattern that pictures match ({endings}), found none that does",
    "list.no_names": "expected names of pictures such as {image!r}, found none of them, and no "
    "other",
    "list.no_room": "expected a folder with room for a sorted list of all pictures, found: "
    "{reason}",
    "list.nothing_there": "expected a folder, a picture or a video, found nothing there",
    "list.one_of_several": "expected a picture ({endings}), as one of several, found {found}; "
    "anything else is given alone",
    "list.only_shards": "expected a folder with pictures, found tar files; give them as "
    "'{folder}/*.tar'",
    "list.other_names": "expected names of pictures such as {image!r}, found none of them, but "
    "{found!r}",
    "list.rendered": "expected photographs, found a folder of synth-hands, whose masks and depth "
    "are none; fit it with --dataset synthetic {folder}",
    "list.unlistable": "expected a folder that can be listed, found: {reason}",
    "list.unreachable": "expected a folder or a picture, found: {reason}",
    "list.unreadable": "expected a list of pictures that can be read, found: {reason}",
}

_ADDRESSES = {
    "address.leads_away": "expected a name relative to the list, or an address below {expected}, "
    "found {found!r}; copy the list to this machine if it is to name others",
    "address.memory": "expected an address that every process can read, found one in the memory of "
    "this process; give such images to fitter.fit, or write them to a folder",
    "address.no_parts": "expected a server that sends parts of a file (HTTP ranges), found one "
    "that sends all of it; copy the file first",
    "address.package": "expected the package {package}, which reads {protocol}:// addresses, found "
    "that it is not installed: pip install {package}",
    "address.protocol": "expected an address that fsspec knows, found {found}://",
    "address.too_large": "expected at most {expected:,} bytes, found {found:,} or more",
    "address.unreadable": "expected an address that can be read, found: {reason}",
    "shard.breaks_off": "expected a whole tar file, found one that breaks off at {size:,} bytes; "
    "{whole} before that are used",
    "shard.compressed": "expected a tar file without compression, whose files can be read one by "
    "one, found {found}; unpack it first",
    "shard.ends": "expected {expected:,} bytes, found {found:,}",
    "shard.missing": "expected a tar file, found no such file",
    "shard.no_image": "expected pictures ({endings}) in the tar files, found none",
    "shard.no_match": "expected a pattern that tar files match, found none that does",
    "shard.no_tar": "expected a tar file, found none ({reason})",
    "shard.none_whole": "expected at least one whole picture in tar files, found none: {reason}",
    "shard.range": "expected a range that goes up, such as 000..004, found {found}",
}

SENTENCES: dict[str, str] = {
    **_IMAGES,
    **_ARRAYS,
    **_KEYPOINTS,
    **_HAND_SIZES,
    **_PEOPLE,
    **_MASKS,
    **_LISTS,
    **_ADDRESSES,
}
