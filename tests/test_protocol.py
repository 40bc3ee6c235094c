"""What an experiment offers: ours, and a user's own, which is found, run in a grid, collected and read back."""

import importlib
import pkgutil
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from test_verdicts import claim, judged, side

from itlm import experiments, records, sweep
from itlm.errors import GridError
from itlm.experiments import labels
from itlm.experiments.protocol import OFFERED, Experiment, digest_of_simulation, load, visits_of_simulation
from itlm.parameters import Parameters
from itlm.records import tables

OURS = ("alpha", "backdoor", "cifar", "gan", "labels", "one_step", "regressors", "suspects", "synthetic")

TRIAL = '''
"""A user's own experiment: does the trimmed mean find the middle of contaminated numbers?"""

from dataclasses import dataclass

import numpy as np

from itlm import trim
from itlm.experiments.protocol import digest_of_simulation as digest
from itlm.experiments.protocol import visits_of_simulation as visits
from itlm.parameters import Parameters, alpha_of, parameter, real, whole
from itlm.records.record import begin

RECIPE = 1


@dataclass(frozen=True, kw_only=True)
class Config(Parameters):
    """One trial."""

    n: int = parameter(200, whole(10), "numbers")
    clean: float = parameter(0.8, real(0, 1, above_low=True), "fraction of clean numbers")
    alpha: float | None = parameter(None, real(0, 1, above_low=True), "fraction kept", none="five points below clean")
    seed: int = parameter(0, whole(), "seed")

    def resolved(self):
        return self.filled({"alpha": alpha_of(self.clean)})


def run(config, *, checkpoint=None):
    c, random = config.resolved(), np.random.default_rng(config.seed)
    x = random.standard_normal(c.n)
    x[: round((1 - c.clean) * c.n)] += 10
    record, middle = begin(__name__, RECIPE, c, digest(c)), x.mean()
    for t in range(6):
        record.add(t, {"error": abs(middle)})
        middle = x[trim((x - middle) ** 2, c.alpha)].mean()
    return record.finish()
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder on sys.path for modules, and another for results."""
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(tables, "folder", lambda: tmp_path / "results")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(project, name, text) -> None:
    """Write a module, and the packages it lies in."""
    path = project.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in path.parents:
        if folder == project:
            break
        (folder / "__init__.py").touch()
    path.write_text(text)
    importlib.invalidate_caches()


def grid(project, name, *blocks) -> Path:
    path = project / "grid.yaml"
    path.write_text(yaml.safe_dump({"experiment": name, "blocks": list(blocks)}, sort_keys=False))
    return path


# ours


def test_these_are_our_experiments():
    found = []
    for module in pkgutil.iter_modules(experiments.__path__):
        try:
            found.append(load(module.name).__name__.removeprefix("itlm.experiments."))
        except TypeError as error:
            assert "is no experiment: it lacks" in str(error)
    assert tuple(found) == OURS


@pytest.mark.parametrize("name", OURS)
def test_each_of_ours_offers_what_the_protocol_lists(name):
    experiment = load(name)
    assert experiment is importlib.import_module(f"itlm.experiments.{name}")
    assert set(OFFERED) <= set(experiment.__all__) and isinstance(experiment.RECIPE, int)
    assert issubclass(experiment.Config, Parameters) and "seed" in {f.name for f in fields(experiment.Config)}
    config = experiment.Config().resolved()
    assert isinstance(config, experiment.Config) and config.resolved() == config and experiment.visits(config) > 0


def test_the_protocol_lists_what_is_looked_for():
    assert {*Experiment.__annotations__, *(name for name in vars(Experiment) if name in OFFERED)} == set(OFFERED)


def test_simulated_data_are_determined_by_the_configuration_and_cost_their_size():
    config = load("synthetic").Config(n=700)
    assert digest_of_simulation(config) == "simulated" and visits_of_simulation(config) == 700.0


# a user's own


@pytest.mark.parametrize("name", ["my_trial", "my_project.of_mine.trial"])
def test_a_users_own_experiment_runs_through_a_grid_and_is_read_back(project, capsys, name):
    write(project, name, TRIAL)
    path = str(grid(project, name, {"seed": "0..3", "clean": [0.7, 0.9]}))
    assert sweep.main([path, "--plan"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "8 runs left, cost not known yet"
    assert sweep.main([path]) == 0
    assert sweep.main([path, "--collect"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "8 runs added to results/, 0 left to run"
    assert sorted(p.name for p in (project / "results").glob("*.csv")) == [f"{name}.csv", f"{name}.runs.csv"]
    assert sweep.faults(name) == []

    trial = load(name)
    read = records.results(f"{name}.runs"), records.results(name)
    config = trial.Config(clean=0.7).resolved()
    last, first = records.series(read, config, "error"), records.series(read, config, "error", 0)
    assert last.index.tolist() == first.index.tolist() == [0, 1, 2, 3]
    assert (first > 2.5).all() and (last < 0.3).all()
    for seed, value in last.items():
        assert trial.run(trial.Config(clean=0.7, seed=seed)).rows[-1][2] == pytest.approx(value, rel=1e-7)
    assert records.by_round(read, config, "error").shape == (6, 4)
    assert set(records.everything()) == {name, f"{name}.runs"}
    falls = claim(
        side("error", "0"), side("error", "last"), experiment=name, select="clean=0.7", sense="falls", seeds=4
    )
    row = judged(falls | {"unit": ""}, records.everything())
    assert (row["n"], row["size"], row["holds"]) == ("4", "simulated", "yes")

    assert sweep.main([path]) == 0 and sweep.main([path, "--collect"]) == 0  # nothing is run again
    assert capsys.readouterr().out == "0 runs added to results/, 0 left to run\n"


def test_a_users_own_experiment_that_fails_is_recorded_with_its_reason(project, capsys):
    write(project, "my_trial", TRIAL.replace("    x[: round", "    if c.seed == 1:\n        1 / 0\n    x[: round"))
    path = str(grid(project, "my_trial", {"seed": [0, 1]}))
    assert sweep.main([path]) == 0 and sweep.main([path, "--collect"]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert records.results("my_trial.runs").set_index("seed").reason[1] == "ZeroDivisionError: division by zero"


def test_a_users_module_of_the_same_name_does_not_hide_ours(project):
    write(project, "labels", TRIAL)
    assert load("labels") is labels


def test_a_bad_value_for_a_users_own_field_is_named_with_its_line(project):
    write(project, "my_trial", TRIAL)
    with pytest.raises(GridError, match=r"grid.yaml:4: clean must be a number in \(0, 1\], got 70"):
        list(sweep.configurations(sweep.load(grid(project, "my_trial", {"seed": 0}, {"clean": 70}))))


# what cannot be loaded


@pytest.mark.parametrize("name", ["no_such_trial", "no_such_project.trial", "my_project.no_such_trial"])
def test_a_module_that_does_not_exist_is_named(project, capsys, name):
    write(project, "my_project.trial", TRIAL)
    lacking = "no_such_project" if "no_such_project" in name else name
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{lacking}'") as caught:
        load(name)
    assert caught.value.name == lacking
    assert sweep.main([str(grid(project, name, {"seed": 0}))]) == 2
    said = capsys.readouterr().err
    assert (
        "grid.yaml: experiment must be a module of itlm.experiments such as labels or gan, or one of your own" in said
    )
    assert f"No module named '{lacking}'" in said and "pip install" not in said


@pytest.mark.parametrize(
    ("without", "lacking"),
    [
        (("RECIPE = 1\n",), "RECIPE"),
        (("def run(",), "run"),
        (("import digest_of_simulation as digest", "import visits_of_simulation as visits"), "digest, visits"),
    ],
)
def test_a_module_that_lacks_a_part_is_told_which(project, capsys, without, lacking):
    text = TRIAL
    for part in without:
        assert part in text
        text = text.replace(part, {"RECIPE = 1\n": "", "def run(": "def walk("}.get(part, part.split(" as ")[0]))
    write(project, "my_trial", text)
    with pytest.raises(TypeError, match=f"^my_trial is no experiment: it lacks {lacking}$"):
        load("my_trial")
    assert sweep.main([str(grid(project, "my_trial", {"seed": 0}))]) == 2
    assert f"my_trial is no experiment: it lacks {lacking}\n" in capsys.readouterr().err


def test_a_module_of_ours_that_is_no_experiment_is_told_so():
    with pytest.raises(TypeError, match="^itlm.experiments.recipe is no experiment: it lacks RECIPE, Config, run, "):
        load("recipe")


def test_a_package_that_a_users_own_experiment_misses_is_named(project, capsys):
    write(project, "my_trial", f"import no_such_package\n{TRIAL}")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_package'") as caught:
        load("my_trial")
    assert caught.value.name == "no_such_package"
    assert sweep.main([str(grid(project, "my_trial", {"seed": 0}))]) == 2
    said = capsys.readouterr().err
    assert "grid.yaml: my_trial needs no_such_package: " in said and "No module named 'no_such_package'" in said
