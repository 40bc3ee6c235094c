"""Files from which a fit or a run that was killed goes on.

A fit saves its state after every pass, a run the network and the numbers of its last finished round. Both are written
atomically, and refused where they are of something else.
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
    """Yield the rounds of a run, going on after the last finished one where a checkpoint has it.

    Parameters
    ----------
    rounds : callable, (start, theta) -> iterator of Round
        The experiment's rounds, both arguments by name.
    make_network : callable, () -> torch.nn.Module
        Makes a network of theta's shape, to put saved weights into.
    record : itlm.records.record.Record
        What the run has found so far; saved and put back with the weights.
    checkpoint : path, optional
        The file; its folder is made if there is none, the file removed at the end. One of another run is refused.

    Yields
    ------
    Round
        Those not yet in the record.

    Raises
    ------
    itlm.errors.Refused
        If the checkpoint is of another run.
    """
    path, done, start = None if checkpoint is None else Path(checkpoint), -1, {}
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)  # now: after the first round much would be lost
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
    for step in rounds(**start):  # the first one is measured again, so that the next knows what it replaces
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
    """What a checkpoint holds; None where there is none, or one that cannot be read."""
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a broken file: torch raises what it likes, and starting anew loses only time
        warnings.warn(f"checkpoint {path} cannot be read and is ignored: {error}", stacklevel=3)
        return None


def write(path, state) -> None:
    """Write a checkpoint atomically."""
    content = io.BytesIO()
    torch.save(state, content)  # not to the file: torch does not say why a disk refuses
    files.write(path, content.getbuffer())


def _digest(*parts) -> str:
    """Sixteen hexadecimal digits of some text and tensors, wherever these are."""
    found = hashlib.sha256()
    for part in parts:
        found.update(
            part.encode() if isinstance(part, str) else part.cpu().contiguous().flatten().view(torch.uint8).numpy()
        )
    return found.hexdigest()[:16]


class Checkpoint:
    """The state of one fit in one file, or nothing at all where there is no path.

    The file is refused where ``identity`` (schedule, seed, loss, kept, x, y) or the network at its start was another.
    """

    def __init__(self, path, network, optimizer, scaler, generator, identity, seen):
        self.path, self.seen = None if path is None else Path(path), seen
        self.parts = {"network": network, "optimizer": optimizer, "scaler": scaler}
        self.generator = generator
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)  # now: after the first pass much would be lost
            schedule, seed, loss, kept, x, y = identity
            name = getattr(loss, "__qualname__", type(loss).__qualname__)
            start = _digest(repr(network), *network.state_dict().values())
            data = _digest(*(x, y) if kept is None else (x, y, kept))
            self.identity = f"{schedule} seed={seed} loss={loss.__module__}.{name} start={start} data={data}"
            self.device = generator.device.type + (" in float16" if scaler.is_enabled() else "")

    def load(self) -> int:
        """Put back what was saved on such a device, if anything; return the step that it was saved at, or 0."""
        if self.path is None:
            return 0
        saved = read(self.path)
        if saved is None:
            return 0
        is_fit, device = "identity" in saved, saved.get("device", "cpu")
        if is_fit and device != self.device:
            # Its states of generator and scaler fit no other; and losses differ a little, and so may what was kept.
            warnings.warn(
                f"checkpoint {self.path} was saved on {device}, this fit is on {self.device}: it is ignored, "
                "and the fit begins anew",
                stacklevel=3,
            )
            return 0
        if saved.get("identity") != self.identity:
            raise Refused(
                f"checkpoint {self.path} is of another fit ({saved.get('identity')}); this one is {self.identity}. "
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
