"""Read a folder of images, one subfolder a class, and score the images with a small network.

    found = read("photos")                                       photos/cat/1.jpg, photos/dog/2.png, ...
    share, more = inspected(Network(), to_tensor(found.images), found.y)

10,000 images take about six minutes on one core.
"""

from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from sklearn.base import BaseEstimator, ClassifierMixin

from ..deep import networks, training
from .tables import LEAST, checked_classes

__all__ = ["SHOWN", "SIDE", "SUFFIXES", "Folder", "Network", "Thumbnails", "features", "read"]

SIDE = 32  # pixels of the images that the network sees
SHOWN = 64  # pixels of the images that the report shows
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
EPOCHS = 6.0
STEPS = 150  # of a fit at least, for folders of few images
BATCH = 100
PATCHES = 500  # images from which the first layer's filters are computed
NAMED = 3  # unreadable files that a note names


class Folder(NamedTuple):
    """The images of a folder that could be read; n in all.

    Attributes
    ----------
    images : array of uint8, shape (n, 32, 32, 3)
        The images, scaled to 32 x 32 pixels in colour.
    y : array of str, shape (n,)
        The names of the subfolders.
    ids : array of str, shape (n,)
        The paths in the folder, sorted by class and then by path.
    rows : array of int, shape (n,)
        The images' positions among all image files, readable or not, and ``n_files``, the number of these.
    notes : list of str
        What could not be read, in sentences.
    digest : str
        SHA-256 of all names and files.
    """

    images: np.ndarray
    y: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    n_files: int
    notes: list[str]
    digest: str


def read(folder) -> Folder:
    """Read ``folder/<class>/*``, sorted by class and then by path; hidden files and other types are ignored.

    Raises
    ------
    ValueError
        If no image can be read, or there are fewer than 100, one class, or a class of fewer than 15.
    """
    folder, digest = Path(folder), sha256()
    found = (file.relative_to(folder) for file in folder.glob("*/**/*") if file.suffix.lower() in SUFFIXES)
    names = [file.as_posix() for file in sorted(found, key=lambda file: file.parts) if "/." not in f"/{file}"]
    images, rows, unreadable = [], [], []
    for row, name in enumerate(names):
        digest.update(name.encode() + b"\0")
        try:
            content = (folder / name).read_bytes()
            digest.update(sha256(content).digest())
            images.append(np.asarray(_colour(content, SIDE).resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
            rows.append(row)
        except Exception:  # Pillow raises errors of many types
            unreadable.append(name)
    if not images:
        raise ValueError(
            f"{folder} has no readable image: put them into one subfolder a class, as {folder}/cat/1.png; the types "
            f"are {', '.join(SUFFIXES)}"
        )
    notes = []
    if unreadable:
        more = "" if len(unreadable) <= NAMED else f" and {len(unreadable) - NAMED} more"
        files = "file is" if len(unreadable) == 1 else "files are"
        notes.append(
            f"{len(unreadable):,} image {files} unreadable and skipped: {', '.join(unreadable[:NAMED])}{more}."
        )
    ids = np.array(names)[rows]
    y = np.array([name.split("/")[0] for name in ids])
    labels, counts = np.unique(y, return_counts=True)
    if len(labels) < 2 or len(y) < LEAST:
        raise ValueError(
            f"{folder} has {len(y):,} readable images in {len(labels)} subfolders: give at least {LEAST} in two or more"
        )
    checked_classes(labels, counts, str(folder))
    return Folder(np.array(images), y, ids, np.array(rows), len(names), notes, digest.hexdigest())


def _colour(content: bytes, side: int) -> Image.Image:
    """Return an image in colour, as it is to be seen; large JPEGs are decoded at a fraction of their size."""
    image = Image.open(BytesIO(content))
    image.draft("RGB", (2 * side, 2 * side))
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut at 255
        image = Image.fromarray((np.asarray(image).astype(float) / 257).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


class Thumbnails:
    """The images of a folder to show, like an array of uint8, (n, 64, 64, 3); each is read when it is asked for."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, folder, ids):
        self.folder, self.ids, self.shape = Path(folder), ids, (len(ids), SHOWN, SHOWN, 3)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, row) -> np.ndarray:
        """Return an image with grey borders, (64, 64, 3)."""
        image = _colour((self.folder / self.ids[row]).read_bytes(), SHOWN)
        return np.asarray(ImageOps.pad(image, (SHOWN, SHOWN), color=(128, 128, 128)))


def features(path, found: Folder) -> np.ndarray:
    """Read the features of a folder's images from a .npy file: float, (n, d).

    The file has one row for each image file, readable or not, sorted by class and then by path.

    Raises
    ------
    ValueError
        If the file is no array of that many rows, or has missing values.
    """
    try:
        table = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"--features {path} is no .npy file of numbers: save an array by numpy.save") from error
    shape = getattr(table, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != found.n_files or table.dtype.kind not in "biuf":
        got = type(table).__name__ if shape is None else f"{table.dtype} of shape {shape}"
        raise ValueError(
            f"--features {path} has {got}: give numbers of shape ({found.n_files}, n_features), a row for each image "
            "file, sorted by class and then by path"
        )
    table = table[found.rows].astype(float)
    if len(bad := np.flatnonzero(~np.isfinite(table).all(axis=1))):
        raise ValueError(f"--features {path} has missing or infinite values, the first for {found.ids[bad[0]]}")
    return table


class Network(ClassifierMixin, BaseEstimator):
    """A small convolutional network as a scikit-learn classifier, `itlm.deep.networks.SmallNet` of width 16.

    Parameters
    ----------
    epochs : float
        Epochs of a fit; at least 150 steps are taken.
    seed : int
        Seeds the weights, the batches and the mirroring.
    """

    def __init__(self, epochs: float = EPOCHS, seed: int = 0):
        self.epochs = epochs
        self.seed = seed

    def fit(self, X, y):
        """Fit to images, a tensor of shape (n, 3, 32, 32) from `itlm.deep.inputs.to_tensor`, and labels, shape (n,)."""
        self.classes_, code = np.unique(y, return_inverse=True)
        batch = min(BATCH, max(1, len(X) // 5))
        steps = max(training.count_steps(self.epochs, len(X), batch), STEPS)
        schedule = training.Schedule(
            steps=steps, batch=batch, lr=0.1, momentum=0.9, shape="one_cycle", augment="mirror"
        )  # fmt: skip
        filters = networks.whitening(X[:: max(1, len(X) // PATCHES)])
        make = lambda: networks.SmallNet(len(self.classes_), width=16, filters=filters)  # noqa: E731
        self.network_ = training.fit(make, X, code, None, schedule, seed=self.seed).network
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class: float, (n, n_classes)."""
        return training.outputs(self.network_, X).double().softmax(1).numpy(force=True)

    def predict(self, X) -> np.ndarray:
        """Return the most probable class of each image, (n,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
