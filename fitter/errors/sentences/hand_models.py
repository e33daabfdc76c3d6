"""Sentences about hand models, appearance, priors and the device that computes."""

SENTENCES: dict[str, str] = {
    # `expected` says what the file should be, such as "the open hand model (.safetensors)".
    "model.unknown": (
        "expected open_hand, the file of a MANO model (MANO_RIGHT.pkl or MANO_LEFT.pkl) or the "
        "folder of a NIMBLE model, found no such file"
    ),
    "model.missing": "expected {expected}, found no such file",
    "model.folder": "expected {expected}, found a folder",
    "model.unreadable": "expected {expected}, found {reason}",
    "model.other_format": "expected {expected}, found {found} saved under this name",
    "model.no_safetensors": (
        "expected {expected}, found a file that cannot be read as one ({reason})"
    ),
    "model.array_missing": "expected {expected}, found no array {array} in it",
    "model.unsafe": "expected {expected}, found {found}",
    "model.no_pickle": (
        "expected {expected}, found a file that cannot be read as a pickle ({reason})"
    ),
    "model.truncated": "expected {expected}, found a file that ends too early, after {size} bytes",
    "model.no_dictionary": (
        "expected {expected}, a dictionary of named arrays, found a pickled {found}"
    ),
    "model.keys_missing": "expected {expected}, found a dictionary without {missing}",
    "model.array_type": "expected an array of {numbers} as {array}, found {found}",
    "model.array_shape": "expected {array} of shape {shape} in {expected}, found {found}",
    "model.array_not_finite": "expected finite numbers in {array}, found {count} that are not",
    "model.face_indices": "expected faces f that index {vertices} vertices, found other indices",
    "model.skeleton": "expected MANO's skeleton with parents {expected}, found {found}",
    "model.changed": "expected the model that the hands were fitted with ({expected}), found "
    "another one ({found})",
    "model.not_mano": "expected a MANO model, with which the annotations of these hands are posed, "
    "found {found}",
    "model.side_unknown": (
        "expected a file name that says left or right, or a mean pose that shows it, found "
        "neither; name the side"
    ),
    "model.side_contradiction": (
        "expected a file whose name and content are of one side, found a {shown} hand by its mean "
        "pose under a name that says {named}; rename it, or name the side"
    ),
    "model.tip_vertices": "expected five fingertip vertices below {vertices}, found {found}",
    "model.tip_convention": (
        "expected a fingertip convention out of {conventions}, found {found!r}"
    ),
    "model.betas": "The hand model has {available} shape components, but {given} coefficients "
    "were given",
    "model.no_children": "expected the open hand where shapes of children are asked for, found "
    "another hand model",
    "model.no_text": "expected {expected}, a list of lines of text, found a pickled {found}",
    "model.no_anatomy": (
        "expected joints that tell palm and back of the hand where texture coordinates are to be "
        "made, found some that coincide or lie on one line"
    ),
    "nimble.units": (
        "expected {expected} with a hand of 0.1 to 0.35 metres, or of 100 to 350 millimetres, "
        "along its longest side, found one of {extent:.4g}"
    ),
    "nimble.parts": (
        "expected 0 < bone_v_sep < skin_v_sep < {vertices}, the number of vertices, found "
        "bone_v_sep {bone} and skin_v_sep {skin}"
    ),
    "nimble.indices": "expected {array} of indices below {count}, found {found}",
    "nimble.shares": "expected rows of {array} that sum to 1, found a sum of {found:.4g}",
    "nimble.deviation": "expected standard deviations {array} above 0, found {found:.4g}",
    "nimble.negative": "expected {array} of at least 0, found {found:.4g}",
    "nimble.empty": "expected at least one component in {array}, found none",
    "nimble.surface": "expected at least {least} vertices in {array}, found {found}",
    "nimble.keypoint_order": (
        "expected a regressor jreg_mano whose 21 points lie in one of the orders {orders} beside "
        "the hand's joints, found none: the nearest is {nearest}, with points {distance:.3f} of "
        "the hand's length off"
    ),
    "nimble.uv_line": "expected {expected}, found the line {found!r}",
    "nimble.uv_faces": ("expected {expected} with the {faces} faces of skin_f, found {found}"),
    "nimble.square": (
        "expected a square texture of three channels in {array}, found {found} values"
    ),
    "nimble.normal_map": (
        "expected mean normals that point out of the skin in their first or third channel, found "
        "mean channels {found}"
    ),
    "nimble.mano_vertices": (
        "expected a MANO model of {expected} vertices, as NIMBLE's skin is mapped to, found one of "
        "{found}"
    ),
    "nimble.mano_side": "expected a {expected} hand of MANO, as NIMBLE's is, found a {found} one",
    "model.no_mano": (
        "expected the folder of a NIMBLE model where model.mano names a file, found another model"
    ),
    "appearance.vertices": "expected an appearance of {expected} vertices, found one of {found}",
    "appearance.texel": "expected {expected}, found texel {texel} of {texels} in it",
    "prior.unreadable": "expected a pose prior in safetensors format, found: {reason}",
    "prior.fields_missing": (
        "expected the fields {fields} of a pose prior, found none called {missing}"
    ),
}
