"""Sentences about intrinsics and lenses."""

_K = "expected K as [[fx, s, cx], [0, fy, cy], [0, 0, 1]] in pixels, found {found}, "

_INTRINSICS = {
    "intrinsics.count": "expected as many 3x3 matrices as pictures, {count}, found {found}",
    "intrinsics.device": _K + "whose numbers look like normalised device coordinates (from -1 to "
    "1); fx in pixels is fx times half the width or half the shorter side, as your program has it",
    "intrinsics.far_centre": "expected K of {image} ({width} x {height}), found a principal point "
    "of {cx:g}, {cy:g}, which is that of a picture of about {whole[0]} x {whole[1]}, or of a part "
    "of one; scale K as the picture was, or give crops their K by their names",
    "intrinsics.field_of_view": "expected an angle between 0 and 180 degrees, found {degrees:g}",
    "intrinsics.focal_length": "expected positive focal lengths, found fx = {fx:g}, fy = {fy:g}",
    "intrinsics.empty_file": "expected a file with cameras, found an empty one",
    "intrinsics.folder": "expected a file with cameras, found a folder; of a COLMAP model give its "
    "cameras.txt",
    "intrinsics.form": "expected K as [[fx, s, cx], [0, fy, cy], [0, 0, 1]], found {found}",
    "intrinsics.four_numbers": "expected four numbers fx,fy,cx,cy, found {found}",
    "intrinsics.inverse": _K + "which looks like the inverse of K; invert it",
    "intrinsics.layout": "expected K, a lens, a mapping from picture names to them or a list of "
    "them, found {found}",
    "intrinsics.neither": "expected fx,fy,cx,cy or a file with cameras, found neither numbers nor "
    "such a file",
    "intrinsics.nine_numbers": "expected the nine numbers of K row by row, or fx fy cx cy, found "
    "{found} numbers",
    "intrinsics.no_arrays": "expected a NumPy file with arrays of numbers, found none ({reason})",
    "intrinsics.no_entry": "expected an entry for {image!r}, found none",
    "intrinsics.no_numbers": "expected a 3x3 matrix of numbers, found {found}",
    "intrinsics.not_finite": "expected finite numbers in K, found nan or infinity",
    "intrinsics.not_square": "expected K of {image} ({width} x {height}), found fx = {fx:g} and "
    "fy = {fy:g}, whose pixels are far from square; the order is fx,fy,cx,cy",
    "intrinsics.opengl": _K + "which looks like a projection matrix of OpenGL or PyTorch3D; fx in "
    "pixels is its first number times half the width, fy its sixth times half the height",
    "intrinsics.other_resolution": "expected K of {image} ({width} x {height}), found one of a "
    "picture of about {whole[0]} x {whole[1]}; multiply its first two rows by {share:.4g}, or, of "
    "crops, give each its own by name",
    "intrinsics.pose": _K + "which looks like a rotation or a pose: where a camera stands, and not "
    "how it projects",
    "intrinsics.projection": _K + "which looks like a projection K [R | t]; give K alone "
    "(cv2.decomposeProjectionMatrix takes it apart)",
    "intrinsics.shape": "expected a 3x3 matrix of numbers, found the shape {shape}",
    "intrinsics.shares": _K + "whose numbers look like shares of the picture; multiply the first "
    "row by its width and the second by its height",
    "intrinsics.small_focal_length": "expected a focal length in pixels for {image} ({width} x "
    "{height}), found {found:g}",
    "intrinsics.too_large": "expected arrays of cameras, of {most} MB or less once unpacked, found "
    "{found} MB",
    "intrinsics.transposed": _K + "which is the transpose of one, as MATLAB has it; transpose it, "
    "and take 0.5 off cx and cy if pixels count from 1",
    "intrinsics.turned": "expected K of {image} ({width} x {height}), found a principal point of "
    "{cx:g}, {cy:g}, which is that of a picture of about {whole[0]} x {whole[1]}: of one turned by "
    "a quarter, or cx and cy are swapped; give K of the picture as it is seen, upright",
    "intrinsics.unknown_file": "expected a file with cameras (JSON, YAML, XML, .npy, .npz, numbers "
    "as text, COLMAP's cameras.txt), found something else; write fx, fy, cx, cy, or the nine "
    "numbers of K, into a text file",
}

_LENS = {
    "lens.apart": "expected the coefficients of a lens in one list, found {found}, of which the "
    "order, the model and the first pixel are not said; write camera_matrix and "
    "distortion_coefficients as OpenCV has them, or K and distortion as we have",
    "lens.aside": "expected a lens that shows something within {found:g} degrees of its axis, "
    "found one that does not",
    "lens.binned": "expected a lens of the pictures as they are, found {name} of {found}: K is "
    "that of whole, unbinned pictures; calibrate the pictures that you give, or write their K",
    "lens.blind": "expected a lens that shows at least {least:.0%} of {image}, found {found:.0%}; "
    "its coefficients are of another K, another model or in another order",
    "lens.broken_file": "expected a whole file of cameras, found that it cannot be read: {reason}",
    "lens.broken_matrix": "expected a matrix of {rows} x {columns} numbers, found {found}",
    "lens.coefficients": "expected {expected} coefficients of a {model} lens, found {found}",
    "lens.four_numbers": "expected the four numbers fu, fv, pu, pv, found {found}",
    "lens.images": "expected lines of images of COLMAP, each followed by a line of its points, "
    "found {found!r}",
    "lens.lacks": "expected a whole lens, found no {found}",
    "lens.line": "expected a camera of COLMAP: number, model, width, height and the model's "
    "parameters, found {found!r}",
    "lens.model": "expected a lens whose model is among {expected}, found {found!r}; calibrate "
    "with such a one, or undistort the pictures and give the K that they then have",
    "lens.no_images": "expected images.txt beside it, which says whose pictures are whose, since "
    "there are {found} cameras, found none that can be read",
    "lens.no_numbers": "expected numbers as coefficients of a lens, found {found}",
    "lens.no_size": "expected {expected}, the size of the pictures that K is for, found nothing",
    "lens.not_finite": "expected finite numbers in a lens, found nan or infinity",
    "lens.other_coefficients": "expected the coefficients {expected} of a {model} lens, found "
    "{found} beside them",
    "lens.other_camera": "expected the lens of {image}, which has {found[0]} x {found[1]} pixels, "
    "found one of pictures of {expected[0]} x {expected[1]}, another aspect",
    "lens.several": "expected one camera, found {found}; leave the one that took the pictures, or "
    "give each picture its own by name",
    "lens.size": "expected the width and height of pictures in whole pixels, found {found}",
    "lens.skew": "expected no skew beside a lens that distorts, found {found:g}",
    "lens.which_model": "expected the name of the model of {found} coefficients, which a pinhole "
    "and a fisheye both have, found none; add distortion_model: plumb_bob or equidistant",
}

SENTENCES: dict[str, str] = {**_INTRINSICS, **_LENS}
