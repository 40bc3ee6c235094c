"""The files that say the same thing in several places say the same thing."""

import importlib
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
import yaml
from packaging.requirements import Requirement

address = importlib.import_module("address")


def tracked(root):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    paths = [root / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def extras(root) -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for, by extra ("" for the library's own)."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(line) for line in lines] for extra, lines in groups.items()}


def asked(groups, *names) -> dict[str, Requirement]:
    """The distributions that some extras ask for, and those that they refer to as itlm[...]."""
    found = {}
    for requirement in (r for name in names for r in groups[name]):
        found |= asked(groups, *requirement.extras) if requirement.name == "itlm" else {requirement.name: requirement}
    return found


def test_the_lock_file_satisfies_what_pyproject_asks_for(root):
    lines = (root / "requirements.lock").read_text().splitlines()
    locked = [Requirement(line) for line in lines if not line.lstrip().startswith("#")]
    versions = {r.name: str(r.specifier).removeprefix("==") for r in locked if not r.marker or r.marker.evaluate()}
    for requirement in (r for group in extras(root).values() for r in group if r.name != "itlm"):
        version = versions[requirement.name]
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}; run make lock"
    assert not [name for name in versions if re.match("cuda|nvidia|triton", name)]  # torch brings its own


def test_make_and_conda_install_the_same_under_the_lock_and_no_extra_is_left_out(root):
    environment = yaml.safe_load((root / "environment.yml").read_text())
    constraint, editable = environment["dependencies"][-1]["pip"]
    assert environment["name"] == "itlm" and constraint == "--constraint requirements.lock"
    named = re.findall(r"\.\[(.+?)\]", (root / "Makefile").read_text().partition("\n.venv/.all:")[2])[0]
    assert editable == f"--editable .[{named}]"
    groups = extras(root)
    assert asked(groups, "", *named.split(",")).keys() == asked(groups, *groups).keys()


def test_requirements_have_lower_bounds_only_so_that_colab_keeps_what_it_has(root):
    groups = extras(root)
    for requirement in asked(groups, "", "linear", "torch", "notebooks").values():
        assert [s.operator for s in requirement.specifier] == [">="]


def test_the_repositorys_address_stands_in_one_place(root):
    name = address.ADDRESS.removeprefix("https://github.com/")
    written = [path for pattern in address.PLACES for path in root.glob(pattern)]
    made = {path.with_suffix(".ipynb") for path in written}  # from the .py
    for path in tracked(root):
        if path in made or path.suffix in {".png", ".npz", ".lock"}:
            continue
        text = path.read_text()
        if path in written:
            place = next(p for pattern, p in address.PLACES.items() if path in set(root.glob(pattern)))
            found = re.findall(place, text)
            assert found and set(found) == {address.ADDRESS}, f"{path} has {found}; run make notebooks"
            text = re.sub(place, "", text)
        if path != root / "_config.yml":
            assert name not in text, f"{path} has the repository's address by hand"
    assert (root / "_config.yml").read_text().count(name) == 1


def test_make_bench_runs_every_benchmark(root):
    named = set(re.findall(r"tools/(bench_\w+\.py)", (root / "Makefile").read_text()))
    assert named == {path.name for path in (root / "tools").glob("bench_*.py")}


def test_links_in_book_lead_to_the_real_ones(root):
    for name in ("_config.yml", "_toc.yml", "notebooks"):
        link = root / "book" / name
        assert link.is_symlink() and not link.readlink().is_absolute()
        assert link.resolve() == root / name


def test_every_notebook_and_page_is_in_the_table_of_contents(root):
    toc = (root / "_toc.yml").read_text()
    entries = set(re.findall(r"(?:file|root): (\S+)", toc))
    pages = {p.stem for p in (root / "book").glob("*.md")}
    notebooks = {f"notebooks/{p.stem}" for p in (root / "notebooks").glob("*.py")}
    assert entries == pages | notebooks


def test_the_wheel_holds_the_library_and_the_results(root, tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, root]
    done = subprocess.run(build, capture_output=True, text=True)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("hatchling cannot be had without a package index")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("itlm-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"itlm/trimming.py", "itlm/py.typed", "itlm/results/paper/table1.csv"} <= set(names)
    metadata = next(n for n in names if n.endswith("METADATA"))
    required = re.findall(r"Requires-Dist: (.*)", zipfile.ZipFile(wheel).read(metadata).decode())
    assert [r for r in required if "extra" not in r] == ["numpy>=1.26"]


def test_the_code_passes_the_linter(root):
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, root], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_recorded_is_sound_and_no_page_types_a_number():
    results = importlib.import_module("results")
    assert results.main() == 0
