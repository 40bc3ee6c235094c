"""Print the lowest versions that pyproject.toml allows, as pip constraints: ``numpy>=1.26`` gives ``numpy==1.26.*``."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]
for requirement in [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]:
    if found := re.match(r"([\w.-]+)>=(\d+(?:\.\d+)*)", requirement):
        print(f"{found[1]}=={found[2]}.*")
