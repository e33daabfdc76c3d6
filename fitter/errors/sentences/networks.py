"""Sentences about weights and networks, the detector's among them."""

_TASK = "expected MediaPipe's hand landmarker (.task)"

_ONNX = "expected a network of 21 keypoints (.onnx)"

_DETECTOR = {
    "detector.max_hands": "expected at least 1, found {found}",
    "detector.cut_weights": "expected {expected} bytes of the detector's weights, found {found}",
    "detector.damaged_graph": "expected the graph of the detector's {network} network, found a "
    "cut-off, damaged or foreign file",
    "detector.damaged_weights": "expected weights (safetensors) of the detector's {network} "
    "network, found a cut-off, damaged or foreign file",
    "detector.no_weights": "expected a network of the detector, found: {reason}",
    "detector.other_weights": "expected weights of the detector's {expected} network, found those "
    "of its {found} network",
    "detector.min_score": "expected a number from 0 to 1, found {found}",
    "detector.no_mediapipe": "expected the package mediapipe (pip install 'fit-hands[mediapipe]') "
    "for finding hands, found: {reason}",
    "detector.no_onnxruntime": "expected the package onnxruntime (pip install 'fit-hands[onnx]') "
    "for detector.backend=onnx, found: {reason}",
    "detector.no_onnx_model": "expected a file (.onnx) for detector.backend=onnx, found none",
    "onnx.missing": f"{_ONNX}, found no such file",
    "onnx.cannot_run": f"{_ONNX} that ONNX Runtime can run, found: {{reason}}",
    "onnx.other_input": f"{_ONNX} with one input, tensor(float) [N or 1, 3, S, S], found {{found}}",
    "onnx.other_outputs": f"{_ONNX} with two outputs, [1, 21, X] and [1, 21, Y], found {{found}}",
    "detector.no_models": "expected hand models from --task FILE or from mediapipe<0.10.22, found "
    "mediapipe {version} without any: {reason}",
    "task.cannot_run": "expected hand models that mediapipe {version} can run, found: {reason}",
    "task.compressed": f"{_TASK} without compression, found a compressed one",
    "task.cut_off": f"{_TASK}, found a file that is cut off",
    "task.damaged": f"{_TASK}, found a damaged file: {{reason}}",
    "task.damaged_model": f"{_TASK}, found a damaged {{model}} in it",
    "task.empty": f"{_TASK}, found an empty file",
    "task.missing": f"{_TASK}, found no such file",
    "task.no_bundle": f"{_TASK}, found a file that is no bundle",
    "task.no_model": f"{_TASK} with {{missing}} in it, found {{found}}",
    "task.not_regular": f"{_TASK}, found a folder or no regular file",
    "task.unreadable": f"{_TASK}, found a file that cannot be read: {{reason}}",
}

SENTENCES: dict[str, str] = {
    **_DETECTOR,
    # What packages offer, and what a configuration asks of it.
    "network.not_offered": "expected one of {known}, found {found!r}",
    "network.no_initialisation": "expected weights of a network to begin with ({known}: shipped "
    "where the network ships, or a file of train-hands), found none",
    "network.not_shipped": "expected a file of weights, since none ship with the project "
    "(train-hands learns them), found shipped",
    "network.of_others": "expected init.networks={expected} as well, whose option it is, found "
    "init.networks={found}",
    "network.not_wanted": "expected weights, found null",
    "network.no_decoder_weights": "expected weights, whose decoder makes the masks "
    "(init.segmentation=handnet), found null",
    "network.no_handnet_beside": "expected shipped, a file of weights, or null: beside this "
    "network there is no HandNet whose decoder might make the masks, found handnet",
    "network.other_cameras": "expected a rig of {expected} cameras (--views), whose views the "
    "network takes together, found {found}",
    "network.other_margin": "expected crops of {expected:g} times the keypoints' box, as the "
    "network has learned from, found refine.margin={found:g}",
    # Encoders.
    "network.no_timm_encoder": "encoder {encoder!r}: expected a convolutional model of timm, found "
    "no such name",
    "network.no_timm_features": "encoder {encoder!r}: expected a convolutional model of timm, "
    "found none: {reason}",
    "network.no_sequence": "encoder {encoder!r}: expected a model whose modules follow each other, "
    "such as a ResNet or an EfficientNet, found a {found}",
    "network.no_split": "encoder {encoder!r}: expected a split of 1 to {last}, found {found}",
    "network.no_unet_encoder": "encoder {encoder!r}: expected one of segmentation_models_pytorch, "
    "or 'tu-' and one of timm, found no such name",
    "network.no_unet": "encoder {encoder!r}: expected one that a U-Net can be made of, found: "
    "{reason}",
    "network.no_decoder": "encoder {encoder!r}: expected stages of the strides {expected} for the "
    "segmentation decoder, found {found}",
    "network.map_size": "expected heatmaps for crops of {size} pixels with sides of {expected}, "
    "found {found}",
    "network.hourglass_depth": "expected a depth by which heatmaps of {size} can be halved, found "
    "{found}",
    "network.few_components": "expected at most {expected} components of the hand model "
    "{hand_model}, found {found}",
    "network.mesh_levels": "expected a mesh whose {vertices} vertices can become {expected} (see "
    "network.channels), found faces that leave no fewer than {found}",
    "network.orthographic_focal": "expected focal given for an orthographic camera, which has no "
    "focal length, found predicted",
    # Files of weights.
    "weights.missing": "expected network weights (safetensors), found no such file",
    "weights.cannot_read": "expected network weights (safetensors), found one that cannot be read: "
    "{reason}",
    "weights.damaged": "expected network weights (safetensors), found a cut-off, damaged or "
    "foreign file",
    "weights.foreign": "expected network weights (safetensors) of a network of fit-hands, found a "
    "file of something else",
    "weights.other_layout": "expected network weights in layout {expected}, found layout {found}, "
    "which another version of fit-hands wrote",
    "weights.unknown_network": "expected a network that this version of fit-hands knows, found "
    "another ({option}: {reason})",
    "weights.incomplete": "expected network weights (safetensors) with all that is said of them, "
    "found {reason}",
    "weights.other_network": "expected weights of the network {expected!r}, found those of "
    "{found!r}",
    "weights.other_camera": "expected weights of a network that projects hands by the {expected} "
    "camera, as that of init.{network} does, found one of the {found} camera, which is for "
    "init.networks={other} and init.{other}",
    "weights.no_decoder": "expected a HandNet with a segmentation decoder, found one without; "
    "init.segmentation may name other weights",
    "weights.other_hand_model": "expected a network for the hand model {expected}, found {found}",
    "weights.no_hand_model": "expected the hand model {expected}, which the network poses, at the "
    "place that was named with it or that is given in its stead, found none at {found}",
    "weights.other_detector": "expected a network that takes the features of the detector "
    "{expected}, found one for those of {found}",
    "weights.too_large": "expected a network that can be built, found one too large for any memory",
    "weights.no_tensor": "expected the weights of a {network} as its configuration says, found "
    "none for {tensor!r}",
    "weights.extra_tensor": "expected the weights of a {network} as its configuration says, found "
    "some for {tensor!r}, which it does not have",
    "weights.other_shape": "expected the weights of a {network} as its configuration says, with "
    "{tensor!r} of {expected}, found {found}",
    "weights.not_finite": "expected finite weights, found others in {tensor!r}",
    "weights.cannot_write": "cannot write weights: {reason}",
}
