"""Execute the notebooks and say which ones are stale.

    python tools/notebooks.py              execute the stale ones
    python tools/notebooks.py --all        execute every one
    python tools/notebooks.py --check      only say which are stale, and why; fails if any is
    python tools/notebooks.py gan labels   these only

A notebook is ``notebooks/x.py`` (the source) and ``notebooks/x.ipynb`` (the same, with outputs). The
.ipynb carries a fingerprint of everything its outputs came from: its own code, the itlm modules it
imports, and theirs, and the recorded results it reads. Comments, docstrings and text cells do not count,
so that mending a sentence costs no re-run.
"""

import argparse
import ast
import hashlib
import os
import re
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import grimp
import jupytext
import nbformat
import pandas as pd
import papermill
from jupytext.combine import combine_inputs_with_outputs

from itlm import files

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
QUIET = {"extra_arguments": ["--log-level=40"]}  # else every kernel warns that it listens on a local port
BETWEEN, COMMENT = re.compile(r">\s+<"), re.compile("<!--.*?-->", re.DOTALL)  # of SVG
LARGEST = 400_000  # bytes a notebook may have


def sources() -> list[Path]:
    """The notebooks' sources, in alphabetical order."""
    return sorted(NOTEBOOKS.glob("*.py"))


def fingerprint(source: Path) -> dict[str, str]:
    """What the notebook's outputs depend on: a digest for each file, by its path from the root."""
    notebook = jupytext.read(source)
    cells = [c for c in notebook.cells if c.cell_type == "code" and "skip-execution" not in c.metadata.get("tags", [])]
    code = ast.parse("\n".join(c.source for c in cells))
    marks = {source.relative_to(ROOT).as_posix(): digest("\n".join(written(ast.parse(c.source)) for c in cells))}
    trees = [code]
    for module in needed(modules_of(code)):
        path = ROOT / module.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        trees.append(ast.parse(path.read_text()))
        marks[path.relative_to(ROOT).as_posix()] = digest(written(without_docstrings(ast.parse(path.read_text()))))
    for pattern in set().union(*map(results_read, trees)):
        for table in (ROOT / "results").glob(pattern):
            marks[table.relative_to(ROOT).as_posix()] = digest(table.read_bytes())
    return dict(sorted(marks.items()))


@cache
def imports() -> grimp.ImportGraph:
    """Return who imports whom within itlm."""
    return grimp.build_graph("itlm", cache_dir=None)


def needed(modules: set[str]) -> set[str]:
    """Return modules, all that they import, and the packages around them, as dotted names."""
    found, pending = set(), set(modules)
    while pending:
        module = pending.pop()
        found.add(module)
        around = {module.rpartition(".")[0]} if "." in module else set()
        pending |= (imports().find_modules_directly_imported_by(module) | around) - found
    return found


def digest(content: str | bytes) -> str:
    """A short name for a content."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def written(node) -> str:
    """Write a syntax tree out, alike in every Python: `ast.dump` of newer ones knows other empty fields."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, list):
        return f"[{', '.join(map(written, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.JoinedStr):  # of which some versions have empty parts
        return f"JoinedStr({written([part for part in node.values if getattr(part, 'value', None) != ''])})"
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
    return f"{type(node).__name__}({', '.join(f'{name}={written(value)}' for name, value in fields)})"


def modules_of(tree: ast.AST) -> set[str]:
    """Return the modules of itlm that a notebook names; ``scorecard(...)`` finds experiments in the list of claims."""
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
    if "scorecard" in called(tree):
        judged = pd.read_csv(ROOT / "results/paper/claims.csv").experiment
        named |= {f"itlm.experiments.{experiment}" for experiment in judged}
    return named & imports().modules


def results_read(tree: ast.AST) -> set[str]:
    """The files under results/ that a piece of code reads.

    They are the literal arguments of ``results(...)`` and ``arrays(...)``, and all tables for ``everything()``.
    """
    calls = called(tree)
    patterns = {f"{name}.csv" for name in calls.get("results", ())} | {f"{name}/*" for name in calls.get("arrays", ())}
    return patterns | ({"*.csv"} if "everything" in calls else set())


def called(tree: ast.AST) -> dict[str, set]:
    """The functions that a piece of code calls, each with the constants that it was given first."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = {node.args[0].value} if node.args and isinstance(node.args[0], ast.Constant) else set()
            found.setdefault(getattr(node.func, "id", getattr(node.func, "attr", "")), set()).update(given)
    return found


def without_docstrings(tree: ast.AST) -> ast.AST:
    """The same code, less its docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def stale(source: Path) -> list[str]:
    """Why the notebook's outputs are out of date, one reason each; empty if they are not."""
    target = source.with_suffix(".ipynb")
    if not target.exists():
        return ["it has never been executed"]
    before = nbformat.read(target, as_version=4).metadata.get("itlm", {}).get("fingerprint", {})
    now = fingerprint(source)
    return (
        [f"{name} has changed" for name in now if name in before and now[name] != before[name]]
        + [f"{name} is new" for name in now if name not in before]
        + [f"{name} is no longer used" for name in before if name not in now]
    )


def as_notebook(source: Path) -> nbformat.NotebookNode:
    """The source as a notebook, with the outputs that its .ipynb has for the same cells.

    A cell's id is made from its text: the same at every conversion, and changed only with the cell.
    """
    notebook = jupytext.read(source)
    target = source.with_suffix(".ipynb")
    if target.exists():
        notebook = combine_inputs_with_outputs(notebook, nbformat.read(target, as_version=4), fmt="py:percent")
    seen = {}
    for cell in notebook.cells:
        name = digest(cell.source)[:8]
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"
    return notebook


def execute(source: Path) -> str:
    """Run one notebook and write its outputs; returns a line that says how it went."""
    started = time.perf_counter()
    target = source.with_suffix(".ipynb")
    with tempfile.TemporaryDirectory() as empty:
        raw, done, cwd = Path(empty, "in.ipynb"), Path(empty, "out.ipynb"), Path(empty, "run")
        nbformat.write(as_notebook(source), raw)
        marks = fingerprint(source)
        cwd.mkdir()  # an empty working directory: a notebook may lean on nothing around it
        papermill.execute_notebook(raw, done, cwd=cwd, progress_bar=False, kernel_name="python3", **QUIET)
        notebook = nbformat.read(done, as_version=4)
    clean(notebook)
    notebook.metadata["itlm"] = {"fingerprint": marks}
    size = len(nbformat.writes(notebook).encode())
    if size > LARGEST:
        raise ValueError(f"{target.name} has {size} bytes, more than {LARGEST}: draw fewer or smaller figures")
    save(notebook, target)
    return f"{source.stem}: {time.perf_counter() - started:.0f} s, {size // 1000} kB"


def clean(notebook: nbformat.NotebookNode) -> None:
    """Strip times, paths, counters and progress, so that running an unchanged notebook again leaves no diff.

    Figures lose the space and the comments between their elements, a third of their bytes.
    """
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            join(cell.outputs)
            for output in cell.outputs:
                if output.output_type == "stream":  # what a carriage return has overwritten, such as progress bars
                    output.text = re.sub(r"[^\n]*\r", "", output.text)
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" or o.text.strip()]
            join(cell.outputs)  # what stderr had cut in two
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.execution_count = number
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
            if figure := output.get("data", {}).get("image/svg+xml"):
                output.data["image/svg+xml"] = BETWEEN.sub("><", COMMENT.sub("", figure))


def join(outputs: list) -> None:
    """Join successive outputs of one stream."""
    for i in range(len(outputs) - 1, 0, -1):
        first, second = outputs[i - 1 : i + 1]
        if first.output_type == "stream" and first.get("name") == second.get("name"):
            first.text += second.text
            del outputs[i]


def save(notebook: nbformat.NotebookNode, target: Path) -> None:
    """Write a notebook atomically."""
    files.write(target, f"{nbformat.writes(notebook)}\n".encode(), alone=True)


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="notebooks, without their ending (default: all of them)")
    parser.add_argument("--all", action="store_true", help="execute those that are fresh as well")
    parser.add_argument("--check", action="store_true", help="execute nothing; fail if a notebook is stale")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default 2)")
    options = parser.parse_args()
    known = {source.stem: source for source in sources()}
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no notebook named {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in options.names or known]
    reasons = {source: stale(source) for source in chosen}
    if options.check:
        for source, why in reasons.items():
            for reason in why:
                print(f"{source.stem}.ipynb is stale: {reason}; run make notebooks")
        return int(any(reasons.values()))
    for source in (s for s in chosen if not options.all and not reasons[s]):  # text cells may have changed
        save(as_notebook(source), source.with_suffix(".ipynb"))
    todo = [source for source in chosen if options.all or reasons[source]]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two kernels at a time share two cores
    failed = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(execute, source) for source in todo]
        for position, (source, future) in enumerate(zip(todo, futures, strict=True), 1):
            try:
                print(f"[{position}/{len(todo)}] {future.result()}", flush=True)
            except Exception as error:  # the others still run; the end is not zero
                failed += 1
                print(f"[{position}/{len(todo)}] {source.stem} FAILED\n{error}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
