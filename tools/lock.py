"""Write requirements.lock from what is installed, and its versions into environment.yml."""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# Exact versions that this book was built and tested with, as pip constraints: make installs under them.
# Written by make lock. What torch brings for one platform alone (CUDA, triton) is left to torch.
"""
PLATFORM = re.compile(r"(nvidia|cuda|triton|itlm|pip|setuptools|wheel)\b")


def canonical(name: str) -> str:
    """A distribution's name in its one normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct() -> dict[str, list[str]]:
    """The distributions that pyproject.toml asks for, by extra ("" for the library's own)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {group: [canonical(re.match(r"[\w.-]+", line)[0]) for line in lines] for group, lines in groups.items()}


def locked() -> dict[str, str]:
    """The versions in requirements.lock."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def environment(versions: dict[str, str]) -> str:
    """The text of environment.yml."""
    names = sorted({name for group in direct().values() for name in group})
    pins = "".join(f"      - {name}=={versions[name]}\n" for name in names)
    return (
        "# The same environment for conda: conda env create -f environment.yml\n# Written by make lock.\n"
        "name: itlm\nchannels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n"
        f"{pins}      - --editable .\n"
    )


if __name__ == "__main__":
    found = {canonical(d.metadata["Name"]): d.version.split("+")[0] for d in distributions()}
    kept = {name: version for name, version in sorted(found.items()) if not PLATFORM.match(name)}
    (ROOT / "requirements.lock").write_text(HEAD + "".join(f"{name}=={version}\n" for name, version in kept.items()))
    (ROOT / "environment.yml").write_text(environment(kept))
