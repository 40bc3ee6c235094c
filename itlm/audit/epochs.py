"""The files of `itlm.audit.recorder`: one for each epoch and rank, written once, with a checksum."""

import re
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zlib import crc32

import numpy as np

from ..errors import Damaged, Refused
from ..files import write

__all__ = ["Epochs", "load", "named", "save"]

NAME = re.compile(r"epoch-(\d+)-rank-(\d+)-of-(\d+)\.npy")


class Epochs:
    """The recorded epochs in a folder.

    Parameters
    ----------
    folder : path
        The folder.
    n : int
        Number of samples.
    """

    def __init__(self, folder: Path, n: int):
        self.folder, self.n = folder, n

    def paths(self) -> set[Path]:
        """Return the files of all epochs, complete or not."""
        return {path for path in self.folder.iterdir() if NAME.fullmatch(path.name)}

    def check_n(self, path, n) -> None:
        """Refuse a file of another number of samples."""
        if n != self.n:
            raise Refused(f"{path} is of a run with n={n}, and this one has n={self.n}: choose another folder")

    def by_epoch(self) -> dict[int, list[Path]]:
        """Return the files of each complete epoch, by rank."""
        found = defaultdict(list)
        for path in self.paths():
            epoch, rank, ranks = named(path)
            found[epoch, ranks].append((rank, path))
        complete = {epoch: sorted(some) for (epoch, ranks), some in sorted(found.items()) if len(some) == ranks}
        return {epoch: [path for _, path in some] for epoch, some in complete.items()}

    def upto(self, epoch) -> dict[int, list[Path]]:
        """Return the files of the complete epochs until the end of one; None is the last."""
        files = self.by_epoch()
        if not files:
            raise ValueError(f"{self.folder} has 0 complete epochs, and at least 1 is needed: call end_epoch first")
        if epoch is not None and epoch not in files:
            raise ValueError(f"epoch must be recorded, in {min(files)} to {max(files)}, got {epoch!r}: see epochs")
        return {number: paths for number, paths in files.items() if epoch is None or number <= epoch}

    def each(self, epoch=None) -> Iterator[tuple[int, np.ndarray, int]]:
        """Yield each epoch, its losses and margins, shape (2, n), and its number of repetitions."""
        for number, paths in self.upto(epoch).items():
            yield number, *self.read(paths)

    def read(self, paths) -> tuple[np.ndarray, int]:
        """Return the losses and margins of one epoch, and its number of repetitions, from the files of all ranks."""
        values, repeated = np.full((2, self.n), np.nan, np.float32), 0
        for path in paths:
            found, (n, again), *seen = load(path)
            self.check_n(path, n)
            if not seen:  # the file of the only rank
                return found, int(again)
            rows = np.flatnonzero(np.unpackbits(seen[0], count=n))
            fresh = np.isnan(values[0, rows])
            values[:, rows[fresh]] = found[:, fresh]
            repeated += int(again + len(rows) - fresh.sum())
        return values, repeated


def named(path) -> tuple[int, int, int]:
    """Return epoch, rank and number of ranks from a file's name."""
    return tuple(map(int, NAME.fullmatch(path.name).groups()))


def save(path, *arrays) -> None:
    """Write arrays one after another as .npy, then a checksum; `numpy.load` reads the first array."""
    content = BytesIO()
    for array in arrays:
        np.save(content, array, allow_pickle=False)
    write(path, content.getbuffer(), crc32(content.getbuffer()).to_bytes(4, "little"), alone=True)


def load(path) -> list[np.ndarray]:
    """Return the arrays of a file after checking that it is whole."""
    content = memoryview(path.read_bytes())
    if len(content) <= 4 or crc32(content[:-4]) != int.from_bytes(content[-4:], "little"):
        raise Damaged(f"{path} is damaged: remove it, and the rest can be read without it")
    file, arrays = BytesIO(content[:-4]), []
    while file.tell() < len(content) - 4:
        arrays.append(np.load(file, allow_pickle=False))
    return arrays
