"""Sentences about data sets, rendered samples and their evaluation."""

SENTENCES: dict[str, str] = {
    # ---- Data sets; `file` is a path in one
    "dataset.unreadable": "cannot read it: {reason}",
    "dataset.image_size": "expected the annotation's {expected} pixels, found an image of {found}",
    "dataset.address": "expected a folder of this machine for {dataset}, found an address; copy "
    "the data set first",
    "dataset.no_intrinsics": "expected a camera matrix K of this image in {dataset}, found none",
    "dataset.no_side": "expected left or right for a hand whose keypoints are used, found neither",
    "dataset.no_keypoints": "expected a hand with keypoints in at least one image of {dataset} in "
    "{folder}, found none",
    "dataset.no_masks": "expected masks of at least one image of {dataset} in {folder}, found none",
    "dataset.no_objects": "expected an object with a mesh in at least one image of {dataset} in "
    "{folder}, found none; if it has objects, --object-models says where their meshes are",
    "dataset.no_mesh": "expected the mesh of {name!r} in the data set's folder models, or in the "
    "folder that --object-models says, found none",
    "dataset.models_unused": "expected --use objects beside it, found none",
    "dataset.use": "expected one of {known}, found {found!r}",
    # ---- Readers of data sets; `file` is a path in the data set
    "dataset.lacks": "expected this {what} of {dataset}, found none",
    "dataset.layer_size": "expected {what} of the image's {expected} pixels, found {found}",
    "dataset.no_table": "expected a table of names, found {found}",
    "dataset.no_list": "expected a list in JSON, found {found}",
    "dataset.cut_list": "expected a whole JSON list, found one that breaks off after {found} "
    "entries",
    "dataset.no_entry": "has {found} entries, none for {image}",
    "dataset.which_entry": "of the {images} images, no multiple of the {found} entries, only the "
    "first {found} are known to have theirs; {image} is not among them",
    "dataset.other_root": "expected the wrist of {image} where its own file has it, found it "
    "{distance:.1f} mm away: the list is in another order or another camera",
    "dataset.not_annotated": "expected an annotated frame, as {list} says, found no {key}",
    "dataset.sequences": "expected the {expected} sequences of a subject, found {found}",
    "dataset.frame_names": "expected lines of a sequence and a frame, such as ABF10/0000, found "
    "{found!r}",
    "dataset.no_key": "expected {key} in it, found none",
    "dataset.values": "expected {expected} as {key}, found {found}",
    "dataset.not_finite": "expected finite numbers as {key}, found nan or infinity",
    "dataset.not_offered": "expected a data set known here ({known}), found {found!r}",
    "dataset.split": "expected one of {known} for {dataset}, found {found!r}",
    "dataset.too_large": "expected at most {expected:,} bytes unpacked, found {found:,} or more",
    "dataset.two_annotations": "expected one annotation of {image}, found {found}",
    "dataset.empty": "holds no complete sample",
    "dataset.bad_entry": "entry {number} of {list} cannot be read: {reason}",
    "dataset.no_annotation": "expected an annotation of {image}, found none",
    "dataset.no_camera": "expected the parameters of camera {name}, which {image} is of, found "
    "none",
    "dataset.no_frame": "expected the joints of the frame of {image}, found none",
    "dataset.no_valid_hand": "holds no valid hand",
    "dataset.images_unknown": "does not say where its images lie; give their folder as the split",
    "dataset.images_elsewhere": "holds no image of {store}, such as {image}",
    "dataset.states": "expected 21 states of keypoints ({known}), found others",
    # ---- Hands that the detector finds in a folder of pictures
    "found.no_folder": "expected a folder of pictures, found {found}",
    "found.no_hands": "expected hands in some of its pictures, found none in {count}, of which "
    "{unread} cannot be read{reason}",
    "found.unreadable": "{reason}",
    "found.changed": "expected the picture of {expected} bytes in which hands were looked for, "
    "found one of {found}; remove {kept}, and the samples that were made of them, to have hands "
    "looked for again",
    "found.other_pictures": "expected the {expected} pictures in which hands were looked for, "
    "found {added} more and {gone} less, such as {image}; remove {kept} to have hands looked for "
    "anew",
    "found.nothing_kept": "expected hands that were looked for in {image}, found none kept here; "
    "`train-hands CONFIG --prepare-only` looks for them",
    "found.layout": "expected hands found in pictures, as this version keeps them, found another "
    "file; remove it to have them looked for again",
    "found.cannot_keep": "cannot keep found hands: {reason}",
    "found.nowhere": "expected a folder to keep found hands in, as the split, found none",
    # ---- eval-hands; `file` is an option or a store
    "evaluation.missing_as": "expected at least 0 mm and a finite number, found {found:g}",
    "evaluation.range": "expected start:stop with start < stop, such as 0:75, found {found!r}",
    "evaluation.range_beyond": "{start}:{stop} leaves the data set {dataset} of {count} images",
    "evaluation.other_images": "holds none of the images of {dataset}",
    "evaluation.same_name": "holds two images called {name}; which is meant?",
    "evaluation.no_source": "expected a result store or --predictions FILE, found neither",
    "evaluation.no_dataset": "expected --dataset NAME DIR, because it was not made with "
    "fit-hands --dataset",
    "evaluation.predictions_dataset": "expected --dataset NAME DIR beside predictions: "
    "what they are compared with",
    "evaluation.not_annotated": "expected hands that somebody has annotated, found a data set "
    "({dataset}) of those that our own detector finds",
    "evaluation.moved": "was made of {dataset} in {folder}, which is not there; say where "
    "it lies now: --dataset {dataset} DIR",
    "evaluation.not_with": "has no effect with {other}; leave one of them out",
    "evaluation.not_without": "has no effect without {other}",
    "evaluation.no_hands": "has none of the annotated hands of {dataset}",
    "evaluation.labels": "expected one for each of the {expected} sources, found {found}",
    "evaluation.bootstrap": "expected at least 0 resamples, found {found}",
    "evaluation.table": "expected one of {known}, found {found!r}",
    "evaluation.one_csv": "expected one table for --format csv, found {found}; run "
    "once for each, or take --format json, which holds them as a list",
    "predictions.unreadable": "cannot read it: {reason}",
    "predictions.not_json": "must be JSON, and is not: {reason}",
    "predictions.form": "must hold [xyz, verts] or an object of hands by image, and does not",
    "predictions.entries": "has {found} entries in {what}, the data set {expected} images",
    "predictions.hand": "must hold for {image} a hand or a list of hands, each with xyz and no "
    "more than {fields}, and does not",
    "predictions.points": "must hold {expected} finite numbers as {what} for {image}, found "
    "{found}",
    "predictions.side": "expected left, right or null as side for {image}, found {found!r}",
    "predictions.score": "expected a number as score for {image}, found {found!r}",
    "plots.no_matplotlib": "needs matplotlib, which is not installed: pip install "
    "'fit-hands[plots]'",
    # ---- synth-hands; `file` is a setting, an option or its folder
    "synthetic.share": "expected a number from 0 to 1, found {found}",
    "synthetic.view": "expected mixed, egocentric or third_person, found {found!r}",
    "synthetic.model": "expected open_hand or the folder of a NIMBLE model, found no folder",
    "synthetic.model_file": "cannot be read: {reason}",
    "synthetic.device": "expected cpu, cuda or auto, found {found!r}",
    "synthetic.baseline": "expected a baseline of {least} to {most} metres, found {found}",
    "synthetic.dome": "expected neighbouring cameras at least {expected} metres apart, found "
    "{baseline} with {found} cameras",
    "synthetic.rig_unseen": "expected a camera that sees a hand where they look, found none; they "
    "look at {found} metres in the rig's frame",
    "synthetic.rig_name": "expected a name that a folder can have, found {found!r}",
    "synthetic.rig_size": "expected the size of its images, which are to be rendered, found none",
    "synthetic.rig_sizes": "expected images of {expected} pixels, as the first camera's, found "
    "{found}",
    "synthetic.rig_size_limits": "expected images of {least} to {most} pixels a side, "
    "found {found}",
    "synthetic.rig_distortion": "expected a lens without distortion: none is rendered",
    "synthetic.rig_has_size": "a rig file says how large its images are, found {found}, too",
    "synthetic.touching_gloves": "with --interaction hands are bare: gloves would swell into what "
    "is touched",
    "synthetic.touching_rig": "hands that touch are seen by one camera, found several",
    "synthetic.stereo_view": "--stereo sees hands from their owner's head, found {found}",
    "synthetic.no_rig": "expected --stereo, --dome or --rig, found a single camera, whose truth "
    "has all that vertices are posed from",
    "synthetic.out_filled": "expected an empty folder or one of synth-hands, found files",
    "synthetic.description": "cannot be read; --overwrite starts anew",
    "synthetic.other_samples": "holds samples with {name} {found}, not {expected}; --overwrite "
    "replaces them",
    "background.no_folder": "expected a folder of backgrounds, found none",
    "background.no_images": "holds no images (JPEG, PNG, WebP or BMP) for backgrounds",
    "background.unreadable": "cannot be read as an image for backgrounds",
    "background.no_packages": "expected an installed package with free images, such as matplotlib "
    "(pip install 'fit-hands[train]'), found none; procedural takes painted backgrounds, and a "
    "folder the images in it",
    # ---- A detector's measured files; `file` is a path or a definition's name
    "definition.name": "expected one of {known}, found {found!r}",
    "definition.mesh_vertices": "expected meshes of {expected} vertices, found {found}",
    "definition.model_vertices": "expected a model of {expected} vertices, found {model} with "
    "{found}",
    "definition.unreadable": "expected {expected} in JSON, found: {reason}",
    "definition.no_table": "expected {expected} in JSON, found no table of names in it",
    "definition.fields": "expected {expected}, found a file without its fields ({reason})",
    "definition.other_mesh": "expected a definition on this hand's mesh, found another's",
    "definition.weights": "expected 21 offsets and 21 rows of weights whose sums are 1, found "
    "others",
    "noise.field": "expected a detector's noise, found no field {field} in it",
    "noise.unreadable": "expected a detector's noise in safetensors format, found: {reason}",
}
