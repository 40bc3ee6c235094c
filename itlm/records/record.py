"""The record of one run: its parameters, its provenance and its numbers."""

import hashlib
import io
import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .. import files
from ..errors import Damaged

__all__ = ["Record", "begin", "key", "read_part", "save_part"]

COLUMNS = {
    "key",
    "recipe",
    "data",
    "source",
    "commit",
    "dirty",
    "status",
    "reason",
    "seconds",
    "device",
    "threads",
    "python",
    "numpy",
    "torch",
    "utc",
}  # of every record, beside the run's own fields
ROOM = 200_000  # largest total size of one run's arrays, bytes before compression
PACKAGE = Path(__file__).resolve().parents[1]


@dataclass
class Record:
    """One run of an experiment.

    Attributes
    ----------
    experiment, key : str
        Names of the experiment and of the run; the run's name has twelve hexadecimal digits, see `key`.
    parameters, provenance : dict
        Every field of the configuration, resolved; and device, threads, seconds, versions, source, time.
    rows, arrays : list of (round, metric, value), dict of array
        The numbers; and small arrays such as pictures, see `keep`.
    """

    experiment: str
    key: str
    parameters: dict
    provenance: dict
    rows: list = field(default_factory=list)
    arrays: dict = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter, repr=False)

    def add(self, t: int, numbers: dict[str, float]) -> None:
        """Add numbers measured in round t, leaving out NaN, which means "none"."""
        self.rows += [[t, name, float(value)] for name, value in numbers.items() if value == value]

    def keep(self, name: str, array) -> None:
        """Keep a small array, such as a few generated images.

        Raises
        ------
        ValueError
            If the run's arrays exceed `ROOM` bytes in total.
        """
        self.arrays[name] = array
        taken = sum(kept.nbytes for kept in self.arrays.values())
        if taken > ROOM:
            raise ValueError(f"array {name!r} brings the run's arrays to {taken} bytes, more than {ROOM}: keep fewer")

    def finish(self, reason: str = "") -> "Record":
        """Add status, duration, device and versions, and return the record. A reason marks the run as failed."""
        torch = sys.modules.get("torch")
        self.provenance |= {
            "status": "failed" if reason else "ok",
            "reason": " ".join(reason.split()),  # a table has one line for each run
            "seconds": round(time.perf_counter() - self.began, 1),
            "device": (torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu") if torch else "cpu",
            "threads": torch.get_num_threads() if torch else _threads(),
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "torch": version("torch") if torch else "",
            "utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return self


def begin(experiment: str, recipe: int, config, data: str) -> Record:
    """Begin the record of a run.

    Parameters
    ----------
    experiment : str
        Name of the experiment, as for `itlm.experiments.protocol.load`.
    recipe : int
        The experiment's recipe number, raised when the code changes what a run computes.
    config : itlm.parameters.Parameters
        The run's parameters, resolved, so that no field depends on the scale.
    data : str
        Digest of the data.
    """
    here = {"recipe": recipe, "data": data[:12], "source": _source(), "commit": _git("rev-parse", "HEAD")[:12]}
    here["dirty"] = bool(_git("status", "--porcelain", "--", ".")) if here["commit"] else None
    return Record(experiment, key(experiment, recipe, config, data), asdict(config), here)


def key(experiment: str, recipe: int, config, data: str) -> str:
    """Digest a run's experiment, recipe number, data and the fields of `itlm.parameters.Parameters.named`.

    A new field with a default keeps old keys valid; a raised recipe number does not. Parameters as for `begin`.

    Raises
    ------
    ValueError
        If a field is named like a column of every record, in which its value would be lost.
    """
    if clash := sorted(COLUMNS & set(asdict(config))):
        raise ValueError(
            f"{type(config).__name__} has a field {clash[0]!r}, which is a column of every record: give it another name"
        )
    named = {"experiment": experiment, "recipe": recipe, "data": data[:12], "fields": config.named()}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:12]


def save_part(record: Record, parts: Path) -> Path:
    """Write one run atomically to its part file, ``<key>.json``, and its arrays to ``<key>.npz``; return the path."""
    parts.mkdir(parents=True, exist_ok=True)
    path = parts / f"{record.key}.json"
    if record.arrays:  # first, so that every record found has its arrays
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **record.arrays)
        files.write(path.with_suffix(".npz"), buffer.getvalue(), alone=True)
    content = {name: getattr(record, name) for name in ("experiment", "key", "parameters", "provenance", "rows")}
    files.write(path, json.dumps(content).encode(), alone=True)
    return path


def read_part(path: Path) -> Record:
    """Read a part file written by `save_part`, without the arrays.

    Raises
    ------
    Damaged
        If the file is torn, or is not a part file.
    """
    try:
        part = json.loads(path.read_text())
        record = Record(part["experiment"], part["key"], {**part["parameters"]}, {**part["provenance"]})
        for t, metric, value in part["rows"]:
            record.add(int(t), {metric: value})
        if record.key != path.stem or record.provenance["status"] not in ("ok", "failed"):
            raise ValueError(f"it is of run {record.key}, {record.provenance['status']}")
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"{path} is torn, or no part file of a sweep ({type(error).__name__}: {error}). Move it elsewhere; if it "
            "held a run, the next sweep repeats that run"
        ) from error
    return record


@cache
def _source() -> str:
    """Digest the package's code, as of the first call in the process."""
    texts = (path.read_bytes() for path in sorted(PACKAGE.rglob("*.py")))
    return hashlib.sha256(b"".join(texts)).hexdigest()[:12]


@cache
def _git(*command: str) -> str:
    """Return git's answer about the package; empty outside a checkout or without git."""
    try:
        done = subprocess.run(["git", *command], cwd=PACKAGE, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def _threads() -> int:
    """Return the most threads that a loaded library may use, such as NumPy's BLAS; 1 if unknown."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return 1
    return max((pool["num_threads"] for pool in threadpool_info()), default=1)
