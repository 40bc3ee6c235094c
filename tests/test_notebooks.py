"""Every notebook runs, is fresh, and refuses parameters it does not know."""

import ast
import importlib
import shutil
from pathlib import Path

import nbformat
import papermill
import pytest

notebooks = importlib.import_module("notebooks", None)  # tools/notebooks.py
parameters = importlib.import_module("parameters", None)  # tools/parameters.py
NAMES = [source.stem for source in notebooks.sources()]
everyone = pytest.mark.parametrize("name", NAMES)


def pair(name):
    source = notebooks.NOTEBOOKS / f"{name}.py"
    return source, nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def run(name, folder, **parameters):
    source = notebooks.NOTEBOOKS / f"{name}.ipynb"
    papermill.execute_notebook(
        source, folder / "out.ipynb", parameters=parameters, cwd=folder, progress_bar=False, **notebooks.QUIET
    )
    return nbformat.read(folder / "out.ipynb", as_version=4)


@everyone
def test_outputs_are_fresh(name):
    reasons = notebooks.stale(notebooks.NOTEBOOKS / f"{name}.py")
    assert not reasons, f"{name}.ipynb is stale: {', '.join(reasons)}; run make notebooks"


@everyone
def test_source_and_notebook_agree(name):
    source, notebook = pair(name)
    expected = notebooks.as_notebook(source)
    assert [(c.cell_type, c.source, c.get("id")) for c in notebook.cells] == [
        (c.cell_type, c.source, c.get("id")) for c in expected.cells
    ], f"{name}.py and {name}.ipynb differ; run make notebooks"


@everyone
def test_it_was_executed_whole_without_errors_times_or_paths(name):
    _, notebook = pair(name)
    for cell in (c for c in notebook.cells if c.cell_type == "code"):
        assert cell.execution_count
        assert not any(o.output_type == "error" or o.get("name") == "stderr" for o in cell.outputs), cell.source
        assert "papermill" not in cell.metadata
    assert "papermill" not in notebook.metadata
    text = (notebooks.NOTEBOOKS / f"{name}.ipynb").read_text()
    assert str(Path.home()) + "/" not in text and str(notebooks.ROOT) not in text
    assert len(text) <= notebooks.LARGEST


@everyone
def test_it_has_the_parts_every_notebook_has(name):
    _, notebook = pair(name)
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    assert tags.count("parameters") == 1
    (install,) = [c for c in notebook.cells if "skip-execution" in c.metadata.get("tags", [])]
    assert "hide-cell" in install.metadata.tags and "%pip install" in install.source
    assert notebook.cells[0].source.startswith("# ")
    (parameters,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    for line, node in zip(parameters.source.splitlines(), ast.parse(parameters.source).body, strict=True):
        assert isinstance(node, ast.AnnAssign) and "#" in line, f"{line!r} needs a type and a comment"


@everyone
def test_papermill_lists_every_parameter_with_its_unit_and_range(name):
    source, _ = pair(name)
    ranges, listed = parameters.ranges_of(source), papermill.inspect_notebook(source.with_suffix(".ipynb"))
    assert listed.keys() == ranges.keys()
    for parameter, allowed in ranges.items():
        assert allowed.meaning, f"{parameter} has no meaning"
        assert listed[parameter]["help"] in (allowed.comment(), allowed.comment(short=True)), (
            f"{name}: run make notebooks"
        )
        assert listed[parameter]["inferred_type_name"] == allowed.kind.__name__


@pytest.mark.notebook
@everyone
def test_it_runs_at_its_defaults_from_an_empty_directory(name, tmp_path):
    out = run(name, tmp_path)
    assert all(not any(o.output_type == "error" for o in c.get("outputs", [])) for c in out.cells)
    assert [p.name for p in tmp_path.iterdir()] == ["out.ipynb"], "a notebook writes nothing"


@pytest.mark.notebook
@everyone
def test_an_unknown_parameter_fails_and_the_valid_ones_are_listed(name, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="(?s)unknown parameter 'alhpa'; the parameters are"):
        run(name, tmp_path, alhpa=0.5)


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("algorithm", {"alpha": 1.3}, r"alpha must be a number in \(0, 1\], got 1.3; the parameters are"),
        (
            "labels",
            {"noise": "rnadom"},
            "noise must be one of 'systematic', 'random', 'confusable', got 'rnadom'; the parameters are",
        ),
        ("gan", {"alpha": 0}, r"alpha must be a number in \(0, 1\] or None, got 0; the parameters are"),
        ("backdoor", {"mark": "O"}, "mark must be one of .pixel., .L., .X., .patch., got .O.; the parameters are"),
        ("regressors", {"clean": 2}, r"clean must be a number in \(0, 1\], got 2; the parameters are"),
        ("scorecard", {"show": "good"}, "show must be one of 'all', .* got 'good'; the parameters are"),
    ],
)
def test_a_bad_value_fails_and_the_valid_ones_are_listed(name, bad, message, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match=message):
        run(name, tmp_path, **bad)


@pytest.mark.notebook
def test_a_changed_parameter_is_reported(tmp_path):
    out = run("algorithm", tmp_path, alpha=0.5)
    assert "Changed from the preset: {'alpha': 0.5}" in out.cells[-1].outputs[0].text


# The fingerprint


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A small copy of the project that a test may change."""
    for folder in ("itlm", "notebooks", "results"):
        shutil.copytree(notebooks.ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_text_comments_and_docstrings_cost_no_rerun(house):
    source = house / "notebooks" / "algorithm.py"
    edit(source, "# # The method in pictures", "# # Pictures of the method")
    edit(house / "itlm" / "trimming.py", '"""Algorithm 1: ', '"""The first algorithm: ')
    edit(house / "itlm" / "figures.py", "# blue: clean samples", "# blue, for clean samples")
    assert notebooks.stale(source) == []


@pytest.mark.parametrize(
    ("name", "file", "old", "new"),
    [
        ("algorithm", "notebooks/algorithm.py", "slope, offset, noise = 2.0", "slope, offset, noise = 3.0"),
        ("algorithm", "itlm/trimming.py", "losses < threshold", "losses <= threshold"),
        ("algorithm", "itlm/figures.py", "#0072B2", "#0072B3"),
        ("scorecard", "itlm/verdicts.py", "CLOSE = 2.0", "CLOSE = 3.0"),
        ("scorecard", "results/paper/table1.csv", "66.69", "66.70"),
        ("scorecard", "itlm/parameters.py", "class Range", "class Ranges"),
        ("scorecard", "itlm/experiments/backdoor.py", "SPECTRAL = 1.5", "SPECTRAL = 2.5"),  # named by the claims alone
    ],
)
def test_what_made_a_notebook_stale_is_named(house, name, file, old, new):
    source = house / "notebooks" / f"{name}.py"
    edit(house / file, old, new)
    assert notebooks.stale(source) == [f"{file} has changed"]


def test_moving_the_border_of_two_cells_counts(house):
    source = house / "notebooks" / "algorithm.py"
    edit(source, "slope, offset, noise = 2.0", "\n# %%\nslope, offset, noise = 2.0")
    assert notebooks.stale(source) == ["notebooks/algorithm.py has changed"]


def test_code_is_written_out_alike_in_every_python():
    code = "def f(x, *, y=None): return [f'{x:{y}}', '', None]"
    assert notebooks.written(ast.parse(code)) == (
        "Module(body=[FunctionDef(name='f', args=arguments(args=[arg(arg='x')], kwonlyargs=[arg(arg='y')], "
        "kw_defaults=[None]), body=[Return(value=List(elts=[JoinedStr([FormattedValue(value=Name(id='x', ctx=Load()), "
        "conversion=-1, format_spec=JoinedStr([FormattedValue(value=Name(id='y', ctx=Load()), conversion=-1)]))]), '', "
        "None], ctx=Load()))])])"
    )


def test_a_new_table_makes_the_scorecard_stale_and_no_other_page(house):
    (house / "results" / "new.csv").write_text("key\n")
    assert notebooks.stale(house / "notebooks" / "scorecard.py") == ["results/new.csv is new"]
    assert notebooks.stale(house / "notebooks" / "algorithm.py") == []


def test_a_notebook_never_run_is_stale(house):
    (house / "notebooks" / "algorithm.ipynb").unlink()
    assert notebooks.stale(house / "notebooks" / "algorithm.py") == ["it has never been executed"]


def test_what_a_progress_bar_cut_in_two_is_put_together_and_nothing_else():
    lines = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n", "a\n")]
    figure = nbformat.v4.new_output("display_data", {"text/plain": "figure"})
    cell = nbformat.v4.new_code_cell(outputs=[lines[0], figure, *lines[1:]])
    notebooks.clean(nbformat.v4.new_notebook(cells=[cell]))
    assert [output.get("text", "figure") for output in cell.outputs] == ["a\n", "figure", "b\na\n"]
