"""Runs and sweeps made up for tests, and what was recorded of them."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from itlm import sweep
from itlm.deep import images
from itlm.experiments import label_noise, labels
from itlm.parameters import flag, parameter, whole
from itlm.records import record, tables

SMALL = {"n": 120, "epochs": 1, "batch": 20, "rounds": 2, "noise": "random", "clean": 0.8, "balanced": True}


@dataclass(frozen=True, kw_only=True)
class Later(labels.Config):
    """The fields of labels, one day."""

    mirrored: bool = parameter(False, flag(), "whether images are mirrored")
    width: int = parameter(20, whole(1), "channels")
    size: int | None = parameter(None, whole(1), "side of the images, pixels", earlier=28)

    def resolved(self):
        """Every field set; the size is the scale's."""
        return super().resolved().filled({"size": 32 if self.scale == "authors" else 28})


def part(folder, name, seed=0, status="", values=(1.0,), experiment="labels", key=None):
    run = record.begin(experiment, 1, labels.Config(seed=seed).resolved(), "ab" * 32)
    run.key = key or run.key
    run.add(0, {f"{name}_{i}": value for i, value in enumerate(values)})
    return record.save_part(run.finish(status), folder)


def texts(folder):
    return [(folder / f"labels{end}.csv").read_bytes() for end in (".runs", "")]


def recorded(*configs):
    """Tables as a sweep leaves them: in round r, seed s, the accuracy is 60 + 10 r + s."""
    runs = pd.DataFrame([{"key": f"k{i}", **asdict(c), "recipe": 1, "status": "ok"} for i, c in enumerate(configs)])
    values = pd.DataFrame(
        [(f"k{i}", r, "test_accuracy", 60.0 + 10 * r + c.seed) for i, c in enumerate(configs) for r in range(3)],
        columns=["key", "round", "metric", "value"],
    )
    return runs, values


def runs_of(**fields):
    return [labels.Config(scale="cpu", seed=seed, **fields).resolved() for seed in range(3)]


def tables_in(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs and the values that a sweep of labels has recorded."""
    return tuple(pd.read_csv(folder / f"labels{end}.csv", dtype={"key": str}) for end in (".runs", ""))


def assert_same_but_for_times(ours: Path, theirs: Path, runs: int) -> None:
    """Two folders of tables tell of the same finished runs, each once."""
    for found, expected in zip(tables_in(ours), tables_in(theirs), strict=True):
        times = found.columns.intersection(["seconds", "utc"])
        pd.testing.assert_frame_equal(found.drop(columns=times), expected.drop(columns=times))
    assert (ours / "labels.csv").read_bytes() == (theirs / "labels.csv").read_bytes()
    found = tables_in(ours)[0]
    assert len(found) == found.key.nunique() == runs and (found.status == "ok").all()
    assert sorted(path.name for path in ours.iterdir()) == sorted(path.name for path in theirs.iterdir())


def finished(parts: Path) -> dict[str, tuple]:
    """The part files, each as it was written: one that is written again differs."""
    paths = sorted(parts.glob("*.json"))
    return {record.read_part(p).key: (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in paths}


def colours() -> images.Images:
    """Colour images of ten kinds, since CIFAR-10 needs a download."""
    random = np.random.default_rng(0)
    kinds = random.integers(40, 216, (10, 4, 4, 3)).repeat(8, 1).repeat(8, 2)

    def draw(n):
        y = np.arange(n) % 10
        noise = random.integers(-40, 40, (n, 32, 32, 3))
        return (kinds[y] + noise).astype(np.uint8), y.astype(np.uint8)

    return images.Images(*draw(300), *draw(100))


# sweeps of labels; the fixture `place` has their folders


def grid(*blocks, **fixed):
    return {"experiment": "labels", "fixed": fixed, "blocks": list(blocks)}


def write(folder, *blocks, **fixed):
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(grid(*blocks, **SMALL | fixed), sort_keys=False))
    return str(path)


def run_and_collect(path):
    assert sweep.main([path]) == 0
    return sweep.main([path, "--collect"])


def begun(monkeypatch, run=None):
    """Note which seeds are run."""
    seeds, run = [], run or labels.run
    monkeypatch.setattr(labels, "run", lambda c, **options: seeds.append(c.seed) or run(c, **options))
    return seeds


def quick(config, **_):
    time.sleep(0.01)
    run = record.begin("labels", labels.RECIPE, config, labels.digest(config))
    run.add(0, {"m": 1.0})
    return run.finish()


def use(results: Path, file=None) -> None:
    """Record into another folder, and let mnist5k be a few images."""
    tables.folder = lambda: results
    if file is not None:
        few = images.Images(**np.load(file))
        images._BUILT_IN["mnist5k"] = lambda: few
        label_noise.forget()
