"""Sentences about options, presets and configuration files."""

SENTENCES: dict[str, str] = {
    # Stages of the refinement.
    "stages.free_twice": "expected every group once in free, found {found!r} twice",
    "stages.lm_energy": "expected energies that the solver lm knows, found {found!r}",
    "stages.lm_free": "expected free to list {expected} for the solver lm, found {found}",
    "stages.lm_iterations": "expected at least one iteration for the solver lm, found {found}",
    "stages.lm_silhouette": "expected silhouette to be 'edge' for the solver lm, found {found!r}",
    "stages.no_step": "expected a learning_rate for the solver {solver} or a rate for {group}, "
    "found neither",
    "stages.rate_not_free": "expected rates of free parameters alone, found {found!r}",
}
