"""Checkpoint files, from which a killed fit or run resumes.

A fit saves its state after every epoch. A run saves the network and the results of its last finished round. Files are
written atomically, and refused if they belong to another fit or run.
"""

import hashlib
import io
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from .. import files
from ..errors import Refused
from ..trimming import Round
from .networks import pick_device

__all__ = ["Checkpoint", "resumable"]


def resumable(rounds: Callable[..., Iterator[Round]], make_network, record, checkpoint=None) -> Iterator[Round]:
    """Yield the rounds of a run that are not yet in the record; resume after the last round in the checkpoint, if any.

    Parameters
    ----------
    rounds : callable, (start, theta) -> iterator of Round
        The experiment's rounds, both arguments by name.
    make_network : callable, () -> torch.nn.Module
        Makes a network of theta's shape, for the saved weights.
    record : itlm.records.record.Record
        The results so far, saved and restored with the weights.
    checkpoint : path, optional
        The file; its folder is made if missing. The file is removed at the end.

    Raises
    ------
    itlm.errors.Refused
        If the checkpoint belongs to another run.
    """
    path, done, start = None if checkpoint is None else Path(checkpoint), -1, {}
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)  # now, to fail before the first round
    saved = None if path is None else read(path)
    if saved:
        if saved.get("key") != record.key:
            raise Refused(f"checkpoint {path} is of run {saved.get('key')}, this is run {record.key}: remove the file")
        theta = make_network()
        theta.load_state_dict(saved["theta"])
        theta = theta.to(pick_device(), memory_format=torch.channels_last).eval()
        done, start = saved["t"], {"start": saved["t"], "theta": theta}
        record.rows[:] = saved["rows"]
        record.began -= saved.get("seconds", 0.0)
        record.arrays |= {name: array.numpy() for name, array in saved["arrays"].items()}
    for step in rounds(**start):  # resuming repeats round ``done``, so the next round can count its changes
        if step.t <= done:
            continue
        yield step
        if path:
            arrays = {name: torch.from_numpy(array) for name, array in record.arrays.items()}  # weights-only loading
            found = {"rows": record.rows, "arrays": arrays, "seconds": time.perf_counter() - record.began}
            write(path, {"key": record.key, "t": step.t, "theta": step.theta.state_dict(), **found})
    if path:
        files.remove(path)


def read(path) -> dict | None:
    """Return a checkpoint's content, or None if there is no file; warn and return None if the file cannot be read."""
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch's errors for broken files are unspecified; a new start only costs time
        warnings.warn(f"checkpoint {path} cannot be read and is ignored: {error}", stacklevel=3)
        return None


def write(path, state) -> None:
    """Write a checkpoint atomically."""
    content = io.BytesIO()
    torch.save(state, content)  # not to the file: torch's errors hide the cause of a failed write
    files.write(path, content.getbuffer())


def _digest(*parts) -> str:
    """Return sixteen hexadecimal digits for texts and tensors; the tensors' device does not matter."""
    found = hashlib.sha256()
    for part in parts:
        found.update(
            part.encode() if isinstance(part, str) else part.cpu().contiguous().flatten().view(torch.uint8).numpy()
        )
    return found.hexdigest()[:16]


class Checkpoint:
    """The state of one fit in one file, or nothing if ``path`` is None.

    A file with another ``identity`` (schedule, seed, loss, kept, x, y) or other initial weights is refused.
    """

    def __init__(self, path, network, optimizer, scaler, generator, identity, seen):
        self.path, self.seen = None if path is None else Path(path), seen
        self.parts = {"network": network, "optimizer": optimizer, "scaler": scaler}
        self.generator = generator
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)  # now, to fail before the first epoch
            schedule, seed, loss, kept, x, y = identity
            name = getattr(loss, "__qualname__", type(loss).__qualname__)
            start = _digest(repr(network), *network.state_dict().values())
            data = _digest(*(x, y) if kept is None else (x, y, kept))
            self.identity = f"{schedule} seed={seed} loss={loss.__module__}.{name} start={start} data={data}"
            self.device = generator.device.type + (" in float16" if scaler.is_enabled() else "")

    def load(self) -> int:
        """Restore the state saved on this kind of device and return its step, or return 0 if there is none."""
        if self.path is None:
            return 0
        saved = read(self.path)
        if saved is None:
            return 0
        is_fit, device = "identity" in saved, saved.get("device", "cpu")
        if is_fit and device != self.device:
            # Generator and scaler states fit one device. Losses differ slightly by device, so the selection may too.
            warnings.warn(
                f"checkpoint {self.path} was saved on {device}, this fit is on {self.device}: it is ignored, "
                "and the fit begins anew",
                stacklevel=3,
            )
            return 0
        if saved.get("identity") != self.identity:
            raise Refused(
                f"checkpoint {self.path} is of another fit ({saved.get('identity')}); this fit is {self.identity}. "
                "Remove the file or choose another name"
            )
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self.generator.set_state(saved["generator"])
        self.seen[:] = saved["seen"]
        return saved["step"]

    def save(self, step: int) -> None:
        """Save the state after a step."""
        if self.path:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            state |= {"generator": self.generator.get_state(), "seen": self.seen}
            write(self.path, state | {"step": step, "identity": self.identity, "device": self.device})

    def clear(self) -> None:
        """Remove the file."""
        if self.path:
            files.remove(self.path)
