"""Sentences about rendered samples, training runs and their checkpoints."""

SENTENCES: dict[str, str] = {
    # Stages of a run.
    "training.stage_length": "expected either epochs or steps, found both or neither",
    "training.unknown_part": "expected parts of the {network}, of which there are {known}, found "
    "{part!r}",
    "training.needed_part": "expected parts that the network can do without, of which there are "
    "{known}, found {part!r}",
    "training.absent_part": "expected a part that is there to be trained, found {part!r}, which "
    "the stage leaves out",
    "training.impossible_parts": "expected parts that the network can do without together, but "
    "{reason}",
    "training.no_parts": "expected a part that is left, found none",
    "training.unknown_source": "expected sources of this configuration, of which there are "
    "{known}, found {source!r}",
    "training.stage_shares": "expected {expected}",
    "training.no_decay": "expected decay_epochs for the schedule {schedule}, found none",
    "training.long_decay": "expected a stage that is as long as its warm-up of {warmup} steps and "
    "its decay of {decay:g}, found one of {found}",
    "training.long_warmup": "expected more steps than the {warmup} of the warm-up, found a stage "
    "of {found}",
    "training.other_plan": "expected a run whose stage and its last step are {expected}, found "
    "{found}: its samples are others than they were; use --overwrite to replace it",
    # Rendered samples.
    "samples.other_folder": "expected an empty folder or rendered samples, found other",
    "samples.other_option": "expected samples with {option} {expected!r}, found a data set with "
    "{found!r}; choose another folder",
    "samples.other_maker": "expected to add to samples of {maker} {expected!r}, found some of "
    "{found!r}; choose another folder",
    "samples.no_manifest": "expected rendered samples, found no {manifest}",
    "samples.bad_manifest": "expected JSON, found {reason}",
    "samples.other_layout": "expected samples in layout {expected}, found another",
    "samples.no_size": "expected the size of images, found none",
    "samples.no_seed": "expected the seed of the samples, found none",
    "samples.none": "expected rendered samples, found none",
    "samples.too_few": "expected {expected} samples, found {found}",
    "samples.bad_array": "expected an array of samples, found {reason}",
    "samples.other_type": "expected {expected}, found {found}",
    "samples.no_sightings": "expected what the detector of this version sees in the samples, found "
    "nothing; `train-hands CONFIG --prepare-only` has it look at them",
    "samples.too_few_sightings": "expected {expected} (samples x looks at each), found {found}",
    "samples.none_detected": "expected samples in which the detector found the hand, found none "
    "among {count}",
    "samples.baselines": "expected a least baseline up to the largest, found {least} to {most} "
    "metres",
    # Annotated pictures as samples.
    "samples.no_side": "expected a right or a left hand, found one of which nobody says which",
    "samples.no_place": "expected at least {expected} keypoints in 2D that say where the hand is, "
    "found {found}",
    "samples.no_annotated": "expected annotated hands, found none",
    "samples.none_left": "expected hands to learn from, found none of {count} that can be used and "
    "has a score of at least {score:g}",
    "samples.cannot_write": "cannot write samples: {reason}",
    "samples.process_lost": "a process that made samples was lost, as when memory runs out; "
    "what is done is kept, and the same command continues",
    # Folders of runs.
    "training.no_run": "expected a run of train-hands, found no {manifest}",
    "training.bad_manifest": "expected a run of train-hands, found a file that cannot be read; "
    "--overwrite starts anew",
    "training.foreign_manifest": "expected a run of train-hands, found another JSON file",
    "training.other_layout": "expected a run in layout {expected}, found layout {found}",
    "training.no_part": "expected a run of train-hands, found no {part!r} in it",
    "training.damaged_part": "expected a run of train-hands, found a damaged {part!r} in it",
    "training.out_is_taken": "expected an empty folder or a run of train-hands, found other files",
    "training.other_run": "expected a run with {option} {expected!r}, found one with {found!r}; "
    "use --overwrite to replace it, or another --out",
    "training.other_detector": "expected a run that learns from the detector {expected}, found one "
    "from {found}; use --overwrite to replace it, or another --out",
    "training.other_start_file": "expected a run that began with weights of the digest {expected}, "
    "found one that began with {found}; use --overwrite to replace it, or another --out",
    "training.cannot_write": "cannot write the run: {reason}",
    "training.cannot_log": "cannot write the log: {reason}",
    # What is asked of a run.
    "training.no_config": "expected a configuration file or the name of a preset, found nothing; "
    "--list names the presets",
    "training.export_name": "expected a name that ends in .safetensors",
    "training.nothing_to_export": "expected a run with a checkpoint to export, found none",
    "training.no_hand_model": "expected open_hand, or where the files of a hand model lie that its "
    "authors give to who registers: MANO_RIGHT.pkl (docs/mano.md) or the folder of NIMBLE "
    "(docs/nimble.md), found nothing there",
    "training.other_betas": "expected {expected}, the shape coefficients of the open hand, found "
    "{found}",
    "training.lacks": "expected {expected} for the {network}, found a data set without",
    "training.needs_more": "expected a network that learns from pictures alone, found one of the "
    "kind {network}, whose losses compare {expected}",
    "training.other_pictures": "expected the {expected} pictures in which hands were looked for, "
    "found {added} more and {gone} less, such as {image}; remove {kept} and {samples} to begin "
    "anew, or keep them and name other folders (.split and .samples of the data set)",
    "training.few_hands": "expected a hand at least for each sample of a batch of {expected} "
    "(optimiser.batch_size), found {found}",
    "training.other_start": "expected weights of a network with {option} {expected!r} to begin "
    "with, found {found!r}",
    "training.no_start": "expected weights to begin with in run.start, found none",
    "training.start_missing": "expected the weights to begin with (run.start), found no such file",
    "training.start_not_trained": "expected the weights to begin with (run.start), found no such "
    "file; `train-hands {preset}` makes it",
    "training.unknown_start": "expected a part to begin with, of which there are {known}, found "
    "{part!r}",
    "training.other_start_part": "expected weights of layers as {part!r} has them, found other "
    "ones in {found!r}",
    "training.small_batch": "expected at least 2 for a network that sees images, found 1",
    "training.unknown_loss": "expected one of {known}, found a loss that this network has not",
    "training.no_pairs": "expected a section pairs, which a network of the kind {network} learns "
    "from, found none",
    "training.pairs": "expected no section pairs for a network of the kind {network}, found one: "
    "only a stereo network learns from pairs",
    "training.supervision": "expected no section supervision for a network of the kind {network}, "
    "found one: only an autoencoder has a choice of it",
    "training.posed_hands": "expected no section posed_hands for a network of the kind {network}, "
    "found one: only a joint_vae learns from hands without images",
    "training.no_hand_pairs": "expected pictures with a right and a left hand whose places before "
    "the camera are known, which the loss penetration compares, found none",
    "training.unpaired_source": "expected annotated data sets for a stage with the loss "
    "penetration, found the source {source}: rendered samples show one hand each",
    "training.odd_batch": "expected a multiple of {multiple} for a stage with the loss "
    "penetration, which learns from pairs of hands, both in one of the {count} processes, found "
    "{found}",
    "training.frozen_random": "expected every part that is there and does not learn to have "
    "learned before, in an earlier stage or in run.start, found random weights in {parts}",
    "training.idle_stage": "expected a stage that trains a part that one of its losses above 0 "
    "depends on, found none for {losses}",
    "training.unpaired": "expected pairs alone for a stereo network, found {option}, which it "
    "neither learns from nor is validated on",
    "training.few_pairs": "expected a pair to learn from and one to hold out at least, found "
    "{learned} and {held_out} of {count}",
    "training.no_loss": "expected one of a weight above 0, found none",
    "training.uneven_batch": "expected a multiple of the {count} processes, found {found}",
    # How it ends.
    "training.rank_lost": "rank {rank} has lost touch with another process of the run: {reason}. "
    "Where that one has ended, its own message says why. The same command continues from the last "
    "checkpoint",
    "training.diverged": "training stopped at step {step}: expected finite losses and gradients, "
    "found {what} {found}; {kept}",
    "training.diverged_often": "training stopped at step {step}: expected finite losses and "
    "gradients, found {what} {found} in {count} steps in a row; {kept}",
    # Checkpoints.
    "checkpoint.missing": "expected a checkpoint of train-hands, found no such file",
    "checkpoint.cannot_read": "expected a checkpoint of train-hands, found one that cannot be "
    "read: {reason}",
    "checkpoint.damaged": "expected a checkpoint of train-hands, found a cut-off, damaged or "
    "foreign file",
    "checkpoint.foreign": "expected a checkpoint of train-hands, found another file of PyTorch",
    "checkpoint.other_layout": "expected a checkpoint of train-hands in layout {expected}, found "
    "layout {found}",
    "checkpoint.no_part": "expected a checkpoint of train-hands, found one without {part!r}",
    "checkpoint.damaged_part": "expected a checkpoint of train-hands, found one with a damaged "
    "{part!r}",
    "checkpoint.cannot_write": "cannot write the checkpoint: {reason}; {kept}",
}
