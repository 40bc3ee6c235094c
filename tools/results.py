"""Check what is recorded: keys match their rows, rows belong to grids, pages type no measured number.

python tools/results.py        prints what is wrong, file and line; fails if anything is
"""

import ast
import re
import sys
from pathlib import Path

import jupytext
import pandas as pd

from itlm import records, sweep
from itlm.errors import Damaged, GridError
from itlm.experiments import labels
from itlm.experiments.protocol import load

ROOT = Path(__file__).resolve().parents[1]

KNOWN = {100.0, 95.0, 3.11}  # the whole, the level of every interval, the oldest Python

# A measurement in prose: a number with decimals, or with a unit that experiments measure in.
UNITS = r"(?: ?(?:%|points?\b|seconds?\b|min(?:utes?)?\b|times\b)|-fold\b)"
MEASURED = re.compile(rf"(?<![\w.])(\d+\.\d+|\d+(?:\.\d+)?(?={UNITS}))(?![\w.])")


def check_table(name: str) -> list[str]:
    """What is wrong with one experiment's tables."""
    try:
        complaints, values = sweep.faults(name), records.results(name)
        if complaints:
            return complaints
        grids = [sweep.load(path) for path in sorted((ROOT / "sweeps").glob("*.yaml"))]
        planned = {c for grid in grids if grid["experiment"] == name for c in sweep.configurations(grid)}
    except (Damaged, GridError) as error:
        return [str(error)]
    experiment = load(name)
    runs = pd.read_csv(records.folder() / f"{name}.runs.csv", dtype=str, keep_default_na=False)
    for line, row in enumerate(runs.to_dict("records"), 2):
        if sweep.configuration(experiment, row) not in planned:
            complaints.append(f"{name}.runs.csv:{line}: run {row['key']} belongs to no grid in sweeps/")
    for key in sorted(set(values.key) - set(runs.key)):
        complaints.append(f"{name}.csv: run {key} has values but no row in {name}.runs.csv")
    return complaints


def check_calibration() -> list[str]:
    """What is wrong with the calibration of the digits' epochs: older than the code, or not what the scale uses."""
    path, code = "sweeps/labels_calibration.yaml", "itlm/experiments/labels.py"
    runs = pd.read_csv(records.folder() / "labels.runs.csv", dtype=str, keep_default_na=False)
    current = runs[(runs.recipe == str(labels.RECIPE)) & (runs.status == "ok")].to_dict("records")
    planned = set(sweep.configurations(sweep.load(ROOT / path)))
    if missing := len(planned - {sweep.configuration(labels, row) for row in current}):
        return [f"{path}: {missing} of {len(planned)} runs are older than {code}, or not recorded: run the sweep again"]
    tables = records.results("labels.runs"), records.results("labels")
    best = labels.calibration(tables, records.results("paper/table1")).distance.idxmin()
    used = labels.SCALES["authors"]["epochs"]
    return [f"{code}: the scale authors has {used:g} epochs, and {path} finds {best:g}"] if used != best else []


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
            for number in MEASURED.findall(re.sub(r"`[^`]*`|https?://\S+|\*", "", line)):
                if float(number) not in known and round(float(number), 1) not in {round(k, 1) for k in known}:
                    complaints.append(f"{path.relative_to(ROOT)}: types {number} in {line.strip()!r}")
    return complaints


def main() -> int:
    """See the top of this file."""
    complaints = []
    for runs in sorted(records.folder().glob("*.runs.csv")):
        complaints += check_table(runs.name.removesuffix(".runs.csv"))
    complaints += check_calibration()
    for page in [*sorted((ROOT / "book").glob("*.md")), *sorted((ROOT / "notebooks").glob("*.py"))]:
        complaints += check_page(page)
    print("\n".join(complaints) or "every key matches its row, every row belongs to a grid, no page types a number")
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
