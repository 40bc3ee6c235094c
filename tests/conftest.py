"""What several tests share."""

import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # what is tested, such as going on to the same bits, holds on CPUs
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

# make test-oldest has no torch. Files that import it are skipped, below; these want all that the repository needs.
WHOLE = ("environments", "house", "images", "notebooks", "project", "site")
collect_ignore = [] if find_spec("torch") else [f"test_{name}.py" for name in WHOLE]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Skip the files that import what make test-oldest does without."""
    report = yield
    lacking = re.search("No module named '(torch|yaml)'", str(report.longrepr)) if report.failed else None
    if lacking:
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, f"{lacking[1]} is not installed")
    return report


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


def pytest_collection_modifyitems(items):
    """Run notebooks first: a long test at the end would leave the other worker idle."""
    items.sort(key=lambda item: item.get_closest_marker("notebook") is None)


@pytest.fixture(scope="session")
def browser():
    """Chromium, headless; without one, tests that need it are skipped."""
    named = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    if not (path := os.environ.get("CHROMIUM") or next(named, None)):
        pytest.skip("no Chromium: install one, or set $CHROMIUM")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as p:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        chromium = p.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()
