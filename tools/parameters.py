"""Write the comments of the notebooks' parameters cells, which the parameters' own ranges and meanings determine.

python tools/parameters.py            write them
python tools/parameters.py --check    fail where one differs
"""

import ast
import sys
from pathlib import Path
from unittest import mock

import jupytext

from itlm import parameters

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 120  # characters of a line
TYPES = {int: "int", float: "float", str: "str", bool: "bool"}  # papermill's help does not read "float | None"


class _Found(Exception):
    """The ranges, on their way out of a notebook's code."""


def ranges_of(source: Path) -> dict[str, parameters.Range]:
    """Return the ranges that a notebook's code hands to `itlm.parameters.check`."""

    def found(namespace, **ranges):
        raise _Found(ranges)

    namespace = {}
    with mock.patch.object(parameters, "check", found):
        for cell in jupytext.read(source).cells:
            if cell.cell_type != "code" or "skip-execution" in cell.metadata.get("tags", []):
                continue
            for statement in ast.parse(cell.source).body:
                written = ast.unparse(statement)
                if isinstance(statement, ast.Expr) and "check(" not in written:
                    continue  # such as setting the figures' style
                try:
                    exec(compile(written, source.name, "exec"), namespace)
                except _Found as error:
                    return error.args[0]
    raise ValueError(f"{source.name} never calls parameters.check: its parameters would go unchecked")


def written(source: Path) -> str:
    """Return a notebook's source with the comments of its parameters cell as they should be."""
    text, ranges = source.read_text(), ranges_of(source)
    head, cell = text.split('# %% tags=["parameters"]\n')
    cell, rest = cell.split("\n\n", 1)
    values = {node.target.id: ast.unparse(node.value) for node in ast.parse(cell).body}
    if values.keys() != ranges.keys():
        differ = ", ".join(sorted(values.keys() ^ ranges.keys()))
        raise ValueError(f"{source.name}: the parameters cell and the check differ in {differ}")
    lines = []
    for name, value in values.items():
        given = f"{name}: {TYPES[ranges[name].kind]} = {_double_quoted(value)}  # "
        line = given + ranges[name].comment()
        lines.append(line if len(line) <= LONGEST else given + ranges[name].comment(short=True))
    return head + '# %% tags=["parameters"]\n' + "\n".join(lines) + "\n\n" + rest


def _double_quoted(value: str) -> str:
    return f'"{value[1:-1]}"' if value.startswith("'") else value


def main() -> int:
    """See the top of this file."""
    differ = []
    for source in sorted((ROOT / "notebooks").glob("*.py")):
        after = written(source)
        if after != source.read_text():
            differ.append(source)
            if "--check" not in sys.argv:
                source.write_text(after)
    for source in differ:
        print(f"{source.name}: parameters {'differ from their ranges' if '--check' in sys.argv else 'written'}")
    return int("--check" in sys.argv and bool(differ))


if __name__ == "__main__":
    sys.exit(main())
