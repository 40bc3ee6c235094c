"""What people said of images: where it is published, and how to read it. `itlm.deep.images` loads it.

cifar10n       labels that three people gave to each of CIFAR-10's training images (Wei et al., ICLR 2022)
label_errors   how many of five people agree with labels of test images (Northcutt et al., NeurIPS 2021)
"""

import codecs
import io
import json
import pickle
import zipfile
from urllib.request import urlopen

import numpy as np

__all__ = ["HUMAN", "SETS", "SOURCES", "fetch"]

HUMAN = {"aggregate": "aggre_label", "worse": "worse_label", **{f"random{i}": f"random_label{i}" for i in (1, 2, 3)}}
UNASKED = 255
SOURCES = {
    "cifar10n": "https://github.com/UCSC-REAL/cifar-10-100n/raw/main/data/CIFAR-10_human.pt",
    "label_errors": "https://github.com/cleanlab/label-errors/raw/main/mturk/{}_mturk.json",
}
# Each array's shape, and the SHA-256 of its bytes.
SETS = {
    "cifar10n": {
        "aggre_label": ((50000,), "2bd5e02e39c9c79772cf4c794f7b74630ac1aaeeac4b807a63c11e9a375f8404"),
        "worse_label": ((50000,), "11a306ed336e3bc81aaac36322ddf12de379d0df1883aa43e10ba562a98f6b2a"),
        "random_label1": ((50000,), "8d01b5a5af048e84bf6e964c86e1133e95d5b22c07763e23705b714ad0f32d8b"),
        "random_label2": ((50000,), "7ea04c887750912f49669282a75e78df380077766b361fb6cb5200999ad6dcda"),
        "random_label3": ((50000,), "cdbfad7e15bfc8fc83bc7c6e30b692e2aa1186660d82738b7543a6012d6ca46f"),
    },
    "label_errors": {
        "mnist_votes": ((10000,), "2d5f1d073df18363687481b6ef2ac4c2783777455ce7e3e48cfa78dd240f3f65"),
        "cifar10_votes": ((10000,), "f78d1642c45fb5cb1f113e03e64fe208ef768e202105bb2354bb8c8a1dfff6d6"),
    },
}


def fetch(name: str) -> dict[str, np.ndarray]:
    """Fetch a set, "cifar10n" or "label_errors", from its authors: uint8 arrays, as `SETS` lists them."""
    if name == "cifar10n":
        with urlopen(SOURCES[name]) as source:
            return _labels(io.BytesIO(source.read()))
    return {part: _votes(part.removesuffix("_votes"), shape) for part, (shape, _) in SETS[name].items()}


def _votes(name, shape) -> np.ndarray:
    votes = np.full(shape, UNASKED, np.uint8)
    with urlopen(SOURCES["label_errors"].format(name)) as source:
        for image in json.load(source):
            votes[image["id"]] = image["mturk"]["given"]
    return votes


def _labels(source) -> dict[str, np.ndarray]:
    """Read the arrays of a file that torch.save wrote, which may hold nothing else."""
    with zipfile.ZipFile(source) as archive, archive.open("archive/data.pkl") as pickled:
        return {part: labels.astype(np.uint8) for part, labels in _Arrays(pickled).load().items()}


class _Arrays(pickle.Unpickler):
    """Reads NumPy arrays from a pickle, and refuses all else."""

    def find_class(self, module, name):
        known = {"_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype,
                 "encode": codecs.encode}  # fmt: skip
        if module not in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "_codecs") or name not in known:
            raise pickle.UnpicklingError(f"the file holds {module}.{name}, not arrays alone")
        return known[name]
