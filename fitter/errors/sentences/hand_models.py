"""Sentences about hand models, appearance, priors and the device that computes."""

SENTENCES: dict[str, str] = {
    # `expected` says what the file should be, such as "the open hand model (.safetensors)".
    "model.unknown": (
        "expected open_hand or the file of a MANO model (MANO_RIGHT.pkl or MANO_LEFT.pkl), "
        "found no such file."
    ),
    "model.missing": "expected {expected}, found no such file.",
    "model.folder": "expected {expected}, found a folder.",
    "model.unreadable": "expected {expected}, found {reason}.",
    "model.other_format": "expected {expected}, found {found} saved under this name.",
    "model.no_safetensors": (
        "expected {expected}, found a file that cannot be read as one ({reason})."
    ),
    "model.array_missing": "expected {expected}, found no array {array} in it.",
    "model.unsafe": "expected {expected}, found {found}.",
    "model.no_pickle": (
        "expected {expected}, found a file that cannot be read as a pickle ({reason})."
    ),
    "model.truncated": "expected {expected}, found a file that ends too early, after {size} bytes.",
    "model.no_dictionary": (
        "expected {expected}, a dictionary of named arrays, found a pickled {found}."
    ),
    "model.keys_missing": "expected {expected}, found a dictionary without {missing}.",
    "model.array_type": "expected an array of {numbers} as {array}, found {found}.",
    "model.array_shape": "expected {array} of shape {shape} in {expected}, found {found}.",
    "model.array_not_finite": "expected finite numbers in {array}, found {count} that are not.",
    "model.face_indices": "expected faces f that index {vertices} vertices, found other indices.",
    "model.skeleton": "expected MANO's skeleton with parents {expected}, found {found}.",
    "model.side_unknown": (
        "expected a file name that says left or right, or a mean pose that shows it, found "
        "neither; name the side."
    ),
    "model.tip_vertices": "expected five fingertip vertices below {vertices}, found {found}.",
    "model.tip_convention": (
        "expected a fingertip convention out of {conventions}, found {found!r}."
    ),
    "model.betas": "The hand model has {available} shape components, but {given} coefficients "
    "were given.",
    "model.no_children": "expected the open hand where shapes of children are asked for, found "
    "another hand model.",
    "appearance.vertices": "expected an appearance of {expected} vertices, found one of {found}.",
    "appearance.texel": "expected {expected}, found texel {texel} of {texels} in it.",
    "prior.unreadable": "expected a pose prior in safetensors format, found: {reason}",
    "prior.fields_missing": (
        "expected the fields {fields} of a pose prior, found none called {missing}."
    ),
}
