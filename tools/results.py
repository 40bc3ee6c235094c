"""Check what is recorded: keys match their rows, rows belong to grids, pages type no measured number.

python tools/results.py        prints what is wrong, file and line; fails if anything is
"""

import ast
import importlib
import re
import sys
from dataclasses import fields
from pathlib import Path

import jupytext
import pandas as pd
import yaml

from itlm import records

ROOT = Path(__file__).resolve().parents[1]

KNOWN = {100.0, 95.0, 3.11}  # the whole, the level of every interval, the oldest Python

# A measurement in prose: a number with decimals, or with a unit that experiments measure in.
MEASURED = re.compile(r"(?<![\w.*])(\d+\.\d+|\d+(?:\.\d+)?(?= ?(?:%|points?\b|seconds?\b|minutes?\b)))(?![\w.])")


def configuration(experiment, row: dict):
    """The configuration of a recorded row; a field that the table does not have yet stands at its default."""
    given = {}
    for f in fields(experiment.Config):
        value = row.get(f.name)
        if value is not None and not pd.isna(value):
            kind = f.metadata["range"].kind
            given[f.name] = kind(value) if kind is not bool else str(value) == "True"
    return experiment.Config(**given)


def check_table(runs_path: Path) -> list[str]:
    """What is wrong with one experiment's tables."""
    name = runs_path.name.removesuffix(".runs.csv")
    complaints = check_lines(runs_path) + check_lines(runs_path.with_name(f"{name}.csv"))
    if complaints:
        return complaints
    experiment = importlib.import_module(f"itlm.{name}")
    runs = pd.read_csv(runs_path, dtype={"key": str, "data": str})
    values = pd.read_csv(runs_path.with_name(f"{name}.csv"), dtype={"key": str})
    planned = planned_runs(name)
    for line, row in enumerate(runs.to_dict("records"), 2):
        config = configuration(experiment, row)
        key = records.key(name, int(row["recipe"]), config, row["data"])
        if key != row["key"]:
            complaints.append(f"{runs_path.name}:{line}: the key is {row['key']}, the row says {key}")
        elif config not in planned:
            complaints.append(f"{runs_path.name}:{line}: run {key} belongs to no grid in sweeps/")
    if runs.key.duplicated().any():
        complaints.append(f"{runs_path.name}: run {runs.key[runs.key.duplicated()].iloc[0]} is recorded twice")
    fine = set(runs.key[runs.status == "ok"])
    for key in sorted(set(values.key) - set(runs.key)):
        complaints.append(f"{name}.csv: run {key} has values but no row in {runs_path.name}")
    for key in sorted(fine - set(values.key)):
        complaints.append(f"{name}.csv: run {key} has no values")
    return complaints


def check_lines(path: Path) -> list[str]:
    """Lines that are cut short or torn: every line has as many fields as the head, the last one ends."""
    text = path.read_text()
    width = text.split("\n", 1)[0].count(",")
    complaints = [] if text.endswith("\n") else [f"{path.name}: the last line is cut short"]
    for number, line in enumerate(text.splitlines(), 1):
        if re.sub(r'"[^"]*"', "", line).count(",") != width:
            complaints.append(f"{path.name}:{number}: has not the {width + 1} fields of the first line")
    return complaints


def planned_runs(name: str) -> set:
    """The configurations of all grids of an experiment."""
    from itlm import sweep

    grids = [yaml.safe_load(path.read_text()) for path in (ROOT / "sweeps").glob("*.yaml")]
    return {config for grid in grids if grid["experiment"] == name for config in sweep.configurations(grid)}


def check_page(path: Path) -> list[str]:
    """Numbers that a page's prose types and that neither the paper nor its own code has."""
    paper = " ".join(table.read_text() for table in (ROOT / "results" / "paper").glob("*.csv"))
    known = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", paper)} | KNOWN
    if path.suffix == ".md":
        texts = [re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)]
    else:
        cells = jupytext.read(path).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        for cell in (c for c in cells if c.cell_type == "code" and not c.source.startswith(("%", "# Colab"))):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
                    known |= {float(node.value), round(100 * node.value, 6), round(100 - 100 * node.value, 6)}
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    known |= {float(number) for number in re.findall(r"\d+(?:\.\d+)?", node.value)}
    complaints = []
    for text in texts:
        for line in text.splitlines():
            for number in MEASURED.findall(re.sub(r"`[^`]*`|https?://\S+", "", line)):
                if float(number) not in known and round(float(number), 1) not in {round(k, 1) for k in known}:
                    complaints.append(f"{path.relative_to(ROOT)}: types {number} in {line.strip()!r}")
    return complaints


def main() -> int:
    """See the top of this file."""
    complaints = []
    for runs in sorted(records.folder().glob("*.runs.csv")):
        complaints += check_table(runs)
    for page in [*sorted((ROOT / "book").glob("*.md")), *sorted((ROOT / "notebooks").glob("*.py"))]:
        complaints += check_page(page)
    print("\n".join(complaints) or "every key matches its row, every row belongs to a grid, no page types a number")
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
