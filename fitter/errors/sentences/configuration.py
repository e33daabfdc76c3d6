"""Sentences about options, presets and configuration files."""

_CONFIG = {
    "config.expected": "{option}: expected {expected}",
    "config.expected_at_all": "expected {expected}",
    "config.missing": "{option} is missing",
    "config.nested": "the configuration is nested too deeply to be read",
    "config.no_options": "{option} has no options of its own",
    "config.no_override": "expected section.option=value, such as {example}",
    "config.no_preset": "expected a YAML file or one of the presets {known}, found neither",
    "config.no_section": "{option} must be a section of options, found {found}",
    "config.no_sections": "the configuration must hold sections such as '{section}:', found "
    "{found}",
    "config.no_yaml_value": "{found!r} is not a YAML value",
    "config.not_utf8": "the configuration is not UTF-8 text",
    "config.not_yaml": "the configuration is not valid YAML: {reason}",
    "config.not_yaml_at": "the configuration is not valid YAML at line {line}: {reason}",
    "config.unknown_name": "unknown name {found!r} in {option}; {hint}",
    "config.unknown_option": "unknown option {option!r}; {hint}",
    "config.unknown_stage": "unknown stage {stage!r}; {hint}",
    "config.unreadable": "cannot read the configuration: {reason}",
    "config.value": "{option} must be {expected}, found {found}",
}

_STAGES = {
    # Stages of the refinement.
    "stages.free_twice": "expected every group once in free, found {found!r} twice",
    "stages.lm_energy": "expected energies that the solver lm knows, found {found!r}",
    "stages.lm_free": "expected free to list {expected} for the solver lm, found {found}",
    "stages.lm_iterations": "expected at least one iteration for the solver lm, found {found}",
    "stages.lm_silhouette": "expected silhouette to be 'edge' for the solver lm, found {found!r}",
    "stages.no_step": "expected a learning_rate for the solver {solver} or a rate for {group}, "
    "found neither",
    "stages.not_out_of_objects": "expected a weight of object_penetration above 0 beside "
    "out_of_objects, found none",
    "stages.out_of_objects_solver": "expected the solver lm beside out_of_objects, found {found}",
    "stages.no_texture": "expected a stage that frees texture, whose texels {found!r} compares; "
    "found none",
    "stages.rate_not_free": "expected rates of free parameters alone, found {found!r}",
}

SENTENCES: dict[str, str] = {**_CONFIG, **_STAGES}
