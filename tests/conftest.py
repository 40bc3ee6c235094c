"""What several tests share."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # what is tested, such as going on to the same bits, holds on CPUs
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="module")
def one_thread():
    """Two threads on a busy machine wait for each other longer than small networks compute."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for results and parts, and few images that are soon loaded."""
    import numpy as np
    from runs import use

    from itlm.deep import images
    from itlm.experiments import label_noise
    from itlm.records import tables

    full = images.load("mnist5k")
    few = {name: array[: 300 if name.startswith("train") else 100] for name, array in full._asdict().items()}
    np.savez(tmp_path / "few.npz", **few)
    monkeypatch.setattr(tables, "folder", tables.folder)
    monkeypatch.setitem(images._BUILT_IN, "mnist5k", None)
    for folder in ("results", "parts"):
        (tmp_path / folder).mkdir()
    use(tmp_path / "results", tmp_path / "few.npz")
    yield tmp_path
    label_noise.forget()
