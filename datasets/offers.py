"""The data sets that can be read here, as `fitter.inputs.datasets.DatasetOffer`s: light.

`pyproject.toml` names each as an entry point of the group `fit_hands.datasets`; a package of
somebody else's can offer further ones in the same way.
"""

from __future__ import annotations

from fitter.inputs.datasets import DatasetOffer

FREIHAND = DatasetOffer(
    "FreiHAND (Zimmermann et al. 2019)",
    ("evaluation", "training"),
    "datasets.readers.freihand:open_freihand",
)
HO3D = DatasetOffer(
    "HO-3D, versions 2 and 3 (Hampali et al. 2020)",
    ("evaluation", "train"),
    "datasets.readers.ho3d:open_ho3d",
)
DEXYCB = DatasetOffer(
    "DexYCB (Chao et al. 2021)",
    tuple(f"s{setup}_{part}" for setup in range(4) for part in ("test", "train", "val")),
    "datasets.readers.dexycb:open_dexycb",
)
INTERHAND = DatasetOffer(
    "InterHand2.6M (Moon et al. 2020), both hands",
    ("test", "train", "val"),
    "datasets.readers.interhand:open_interhand",
)
RHD = DatasetOffer(
    "RHD, rendered hands (Zimmermann and Brox 2017)",
    ("evaluation", "training"),
    "datasets.readers.rhd:open_rhd",
)
GE = DatasetOffer(
    "the real set of Ge et al. 2019",
    (),
    "datasets.readers.ge:open_ge",
)
COCO = DatasetOffer(
    "COCO-WholeBody's hands (Jin et al. 2020)",
    ("val", "train"),
    "datasets.readers.coco:open_coco",
)
HINT = DatasetOffer(
    "HInt (Pavlakos et al. 2024) and JSON lists of its kind",
    (),
    "datasets.readers.hint:open_hint",
)
OPENPOSE = DatasetOffer(
    "a folder of images with OpenPose's JSON files",
    (),
    "datasets.readers.openpose:open_openpose",
)
IMAGES = DatasetOffer(
    "a folder of images without annotations, whose hands are those that the detector finds",
    (),
    "datasets.readers.images:open_images",
)
SYNTHETIC = DatasetOffer(
    "what synth-hands wrote",
    ("training",),
    "datasets.readers.rendered:open_rendered",
)
SHARDS = DatasetOffer(
    "tar files of images with a JSON file beside each, on this machine or at addresses",
    (),
    "datasets.readers.shards:open_shards",
    takes_addresses=True,
)
STORE = DatasetOffer(
    "a result store of fit-hands, its valid hands as annotations",
    (),
    "datasets.readers.results:open_results",
)
