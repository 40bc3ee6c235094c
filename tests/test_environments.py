"""The library in an environment that is not its own: nothing there is replaced, and a notebook runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import papermill
import pytest
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.environment

ROOT = Path(__file__).resolve().parents[1]
CELL = re.compile(r'^# %pip install -q "itlm(\[[a-z,]+\]) @ [^"]*"(.*)$', re.M)
CELLS = {source.stem: CELL.findall(source.read_text()) for source in sorted(ROOT.glob("notebooks/*.py"))}
ASKED = sorted({(f".{extras}", *others.split()) for found in CELLS.values() for extras, others in found})


def run(*command, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter with Colab's versions; kept in .venv/colab until the list of versions changes."""
    listed = (ROOT / "tests" / "colab.txt").read_text()
    home = ROOT / ".venv" / "colab"
    made = home / "made.txt"
    if not made.exists() or made.read_text() != listed:
        run(sys.executable, "-m", "venv", "--clear", home)
        pins = [line for line in listed.splitlines() if "==" in line]
        run(home / "bin" / "python", "-m", "pip", "install", "--quiet", *(p for p in pins if not p.startswith("torch")))
        (packages,) = home.glob("lib/python*/site-packages")
        # torch is large and no cell below runs it: pip finds its name and version installed, without a file of it.
        for name, version in (pin.split("==") for pin in pins if pin.startswith("torch")):
            info = packages / f"{name}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        made.write_text(listed)
    return home / "bin" / "python"


def replaced(python, *asked) -> dict[str, str]:
    """The installed packages that pip would replace, each with its new version."""
    report = json.loads(run(python, "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", *asked))
    new = {canonicalize_name(p["metadata"]["name"]): p["metadata"]["version"] for p in report["install"]}
    assert "itlm" in new
    there = json.loads(run(python, "-m", "pip", "list", "--format", "json"))
    return {name: new[name] for p in there if (name := canonicalize_name(p["name"])) in new}


def test_every_notebook_asks_for_one_thing_on_colab():
    assert all(len(found) == 1 for found in CELLS.values()), CELLS


@pytest.mark.parametrize("asked", ASKED, ids=" ".join)
def test_what_a_notebook_asks_for_replaces_nothing_on_colab(python, asked):
    assert replaced(python, *asked) == {}


def test_what_builds_the_book_would_replace_packages(python):
    assert {"sphinx", "ipykernel"} <= replaced(python, ".[book]").keys()  # so that nothing above is a finding


@pytest.mark.parametrize("name", ["algorithm", "regressors"])
def test_a_notebook_runs_on_colabs_versions(python, name, tmp_path, monkeypatch):
    library, kernel = tmp_path / "library", tmp_path / "kernels" / "colab"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", library, ".")
    kernel.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Colab", "language": "python", "env": {"PYTHONPATH": str(library)}}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    source, out = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    notebook = jupytext.read(ROOT / "notebooks" / f"{name}.py")
    notebook.cells.append(nbformat.v4.new_code_cell("import sys, itlm; print(sys.prefix, itlm.__file__)"))
    nbformat.write(notebook, source)
    papermill.execute_notebook(
        source, out, cwd=tmp_path, kernel_name="colab", progress_bar=False, extra_arguments=["--log-level=40"]
    )
    cells = [cell for cell in nbformat.read(out, as_version=4).cells if cell.cell_type == "code"]
    assert cells[-1].outputs[0].text.split() == [str(python.parents[1]), str(library / "itlm" / "__init__.py")]
    assert not [o for cell in cells for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]
