"""What people said of images: fetched from where it is published, and checked."""

import hashlib
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from itlm.deep import images
from itlm.deep import people as said
from itlm.errors import DataError


def sha256(array) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def released(path, arrays) -> str:
    """Write what the authors of CIFAR-10N publish, and return its address."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(arrays, protocol=2))
    return path.as_uri()


@pytest.fixture
def people(monkeypatch, tmp_path):
    """Let the published sets of labels and votes be small files."""
    random = np.random.default_rng(0)
    arrays = {part: random.integers(10, size=50) for part in ["clean_label", *said.HUMAN.values()]}
    for name in ("mnist", "cifar10"):
        asked = [{"id": i, "mturk": {"given": int(random.integers(6))}} for i in (3, 7, 40)]
        (tmp_path / f"{name}.json").write_text(json.dumps(asked))
        arrays[f"{name}_votes"] = np.full(50, 255)
        arrays[f"{name}_votes"][[3, 7, 40]] = [one["mturk"]["given"] for one in asked]
    sources = {"cifar10n": released(tmp_path / "labels.pt", {k: v for k, v in arrays.items() if "label" in k}),
               "label_errors": f"{tmp_path.as_uri()}/{{}}.json"}  # fmt: skip
    monkeypatch.setattr(said, "SOURCES", sources)
    for name, parts in said.SETS.items():
        digests = {part: ((50,), sha256(arrays[part].astype(np.uint8))) for part in parts}
        for sets in (images._SETS, said.SETS):
            monkeypatch.setitem(sets, name, digests)
    return arrays


@pytest.mark.parametrize("name", [*said.HUMAN, "mnist", "cifar10"])
def test_what_people_said_is_fetched_and_checked(people, tmp_path, name):
    load, part = (images.human_labels, said.HUMAN[name]) if name in said.HUMAN else (images.judged, f"{name}_votes")
    labels = load(name, root=tmp_path / "sets")
    assert labels.dtype == np.uint8 and np.array_equal(labels, people[part])
    assert np.array_equal(labels, load(name, root=tmp_path / "sets", download=False))


def test_a_published_file_that_holds_more_than_arrays_is_refused(people, monkeypatch, tmp_path):
    monkeypatch.setitem(said.SOURCES, "cifar10n", released(tmp_path / "other.pt", {"clean_label": os.getcwd}))
    with pytest.raises(DataError, match="the file holds posix.getcwd, not arrays alone"):
        images.human_labels("worse", root=tmp_path / "sets")


def test_what_people_said_has_names(tmp_path):
    with pytest.raises(ValueError, match="one of aggregate, worse, random1, random2, random3, got 'worst'"):
        images.human_labels("worst", root=tmp_path)
    with pytest.raises(ValueError, match="name must be one of mnist, cifar10, got 'celeba'"):
        images.judged("celeba", root=tmp_path)
    with pytest.raises(ValueError, match="got 'cifar10n'"):
        images.load("cifar10n", root=tmp_path)


@pytest.mark.skipif(
    not os.environ.get("ITLM_DATA") or not Path(os.environ["ITLM_DATA"], "label_errors").is_dir(),
    reason="$ITLM_DATA is unset or lacks label_errors",
)
def test_confirmed_errors_are_as_many_as_published():
    assert [(images.judged(name, download=False) < 3).sum() for name in ("mnist", "cifar10")] == [15, 54]
