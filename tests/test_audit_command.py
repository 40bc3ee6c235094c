"""The command `python -m itlm.audit`: what it finds in data with planted errors, and what it says of bad input."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from itlm.audit import models, tables
from itlm.audit.__main__ import main

REPORT = ["cleaned.csv", "report.csv", "report.html", "report.json"]
ALONE = os.environ | {"OMP_NUM_THREADS": "1"}


def patients(share=0.15, seed=0):
    """Return a table of all kinds of columns with wrong labels, and which these are."""
    random, data = np.random.default_rng(seed), load_breast_cancer(as_frame=True)
    frame, n = data.data.iloc[:, :12].copy(), len(data.data)
    frame["ward"] = np.where((data.target == 1) ^ (random.random(n) < 0.3), "north", "south")
    frame["seen"] = (pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(900, size=n), unit="D")).strftime(
        "%d.%m.%Y"
    )
    words = np.array("the cell looks large round small smooth, dense pale\n with some unusual margin".split(" "))
    frame["note"] = [" ".join(random.choice(words, 8)) for _ in range(n)]
    frame["device"] = "A7"
    frame["code"] = [f"c{i:04d}" for i in range(n)]
    frame["patient"] = [f"{i:04d}" for i in random.permutation(n)]
    for name in frame.columns[:5]:
        frame.loc[random.random(n) < 0.1, name] = np.nan
    wrong = np.zeros(n, bool)
    wrong[random.permutation(n)[: round(share * n)]] = True
    frame["label"] = np.where((data.target == 1) ^ wrong, "benign", "malignant")
    return frame, wrong


def small(n=200, **columns):
    """Return a table of two columns of numbers and a target, which others replace or join."""
    random = np.random.default_rng(0)
    x = random.normal(size=n)
    return pd.DataFrame({"x": x, "z": random.normal(size=n), "label": np.where(x > 0, "yes", "no")} | columns)


def saved(frame, folder) -> str:
    frame.to_csv(path := folder / "my.csv", index=False)
    return str(path)


def run(*arguments, **options):
    command = [sys.executable, "-m", "itlm.audit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ALONE, **options)


def refused(capsys, *arguments) -> str:
    """The command stops and writes nothing; return what it says."""
    before = {path: path.stat().st_mtime_ns for path in Path(str(arguments[0])).parent.iterdir()}
    assert main([str(one) for one in arguments]) == 2
    said = capsys.readouterr()
    *_, last = said.err.splitlines()
    assert said.out == "" and last.startswith("itlm.audit: ")
    assert before == {path: path.stat().st_mtime_ns for path in Path(str(arguments[0])).parent.iterdir()}
    return last


# known truth


def test_wrong_labels_of_a_table_are_found_and_dropped(tmp_path):
    frame, wrong = patients()
    path, out = saved(frame, tmp_path), tmp_path / "report"
    arguments = [path, "--target", "label", "--id", "patient", "--out", str(out)]
    done = run(*arguments)
    assert done.returncode == 0 and sorted(p.name for p in out.iterdir()) == REPORT
    assert "column 'device': left out" in done.stderr and "column 'code': left out" in done.stderr
    assert done.stdout.count("\n") == 1 and str(out / "report.html") in done.stdout

    table = pd.read_csv(out / "report.csv", dtype={"id": str})
    assert table["id"].tolist() == frame["patient"].tolist() and table["given"].tolist() == frame["label"].tolist()
    first = table["rank"].to_numpy() <= wrong.sum() // 2
    assert wrong[first].mean() > 0.8
    share = json.loads((out / "report.json").read_bytes())["summary"]["share"]
    assert wrong.mean() <= share["upper"] < 0.35

    kept = ~table["dropped"].to_numpy()
    assert wrong[kept].sum() < wrong.sum() / 3
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "cleaned.csv", dtype=str), pd.read_csv(path, dtype=str)[kept].reset_index(drop=True)
    )
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert main(arguments) == 0
    assert before == {p.name: p.read_bytes() for p in out.iterdir()}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my.csv", "report"]


@pytest.mark.parametrize("errors", [["--errors", "wrong_unit"], []])
def test_values_in_a_wrong_unit_are_found(tmp_path, capsys, errors):
    data, random = load_diabetes(as_frame=True), np.random.default_rng(0)
    wrong = random.random(len(data.data)) < 0.1
    frame = data.data.assign(value=np.where(wrong, 10, 1) * data.target)
    arguments = [saved(frame, tmp_path), "--target", "value", *errors, "--model", "linear"]
    assert main([*arguments, "--out", str(tmp_path / "report")]) == 0
    assert "so this is regression" in capsys.readouterr().err
    table = pd.read_csv(tmp_path / "report" / "report.csv")
    assert wrong[table["rank"].to_numpy() <= wrong.sum()].mean() > 0.9
    assert wrong[~table["dropped"].to_numpy()].mean() < 0.02
    share = json.loads((tmp_path / "report" / "report.json").read_bytes())["summary"]["share"]
    assert wrong.mean() <= share["upper"] < 0.25


@pytest.fixture
def photos(tmp_path):
    """A folder of 240 images of three classes, some wrong, and one file that is no image."""
    pytest.importorskip("torch")
    from PIL import Image

    random, n = np.random.default_rng(0), 240
    kinds = random.integers(40, 216, (3, 4, 4, 3)).repeat(10, 1).repeat(10, 2)
    truth, wrong = np.arange(n) % 3, random.permutation(n) < 30
    given = (truth + wrong * random.integers(1, 3, n)) % 3
    for i in range(n):
        (place := tmp_path / "photos" / f"class {given[i]}").mkdir(parents=True, exist_ok=True)
        pixels = (kinds[truth[i]] + random.integers(-60, 60, (40, 40, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / (f"{i:03d}{'-wrong' if wrong[i] else ''}" + (".png", ".JPG")[i % 2]))
    (tmp_path / "photos" / "class 0" / "005.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "photos" / "class 0" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_wrong_labels_of_images_are_found_by_a_network(photos, tmp_path, capsys, monkeypatch, one_thread):
    from itlm.audit import folders

    monkeypatch.setattr(folders, "STEPS", 40)
    out = tmp_path / "report"
    assert main([str(photos), "--out", str(out), "--epochs", "1"]) == 0
    assert "1 image file is unreadable and skipped: class 0/005.png." in capsys.readouterr().err
    table = pd.read_csv(out / "report.csv")
    assert len(table) == 240 and table["id"].is_unique
    first = table.sort_values("rank")["id"].str.contains("wrong")
    assert first[:25].mean() > 0.8
    kept = (out / "kept.txt").read_text().splitlines()
    assert kept == table["id"][~table["dropped"]].tolist()
    assert sum("wrong" in name for name in kept) < 15


def test_wrong_labels_of_images_are_found_by_features(photos, tmp_path, capsys):
    files = sorted(path for path in photos.glob("*/*") if path.suffix != ".txt")
    truth = np.array([int(path.name[:3]) % 3 for path in files])
    features = np.eye(3)[truth] + np.random.default_rng(0).normal(0, 0.3, (len(files), 3))
    np.save(tmp_path / "features.npy", features)
    arguments = [str(photos), "--out", str(tmp_path / "report"), "--features", str(tmp_path / "features.npy")]
    assert main(arguments) == 0
    table = pd.read_csv(tmp_path / "report" / "report.csv")
    assert table["id"].tolist() == [p.relative_to(photos).as_posix() for p in files if p.name != "005.png"]
    assert table.sort_values("rank")["id"].str.contains("wrong")[:25].mean() > 0.9
    capsys.readouterr()
    for wrong in (features[:-1], features.astype(str), np.where(truth[:, None] == 1, np.nan, features)):
        np.save(tmp_path / "features.npy", wrong)
        assert "itlm.audit: --features " in refused(capsys, *arguments)


# options and columns


def test_every_model_takes_every_column(tmp_path, capsys):
    frame, wrong = patients()
    path = saved(frame, tmp_path)
    for model in ("linear", "sklearn.naive_bayes:GaussianNB"):
        options = ["--target", "label", "--model", model, "--errors", "uniform,systematic,confusable"]
        assert main([path, *options, "--out", str(tmp_path / "report")]) == 0
        table = pd.read_csv(tmp_path / "report" / "report.csv")
        assert wrong[table["rank"].to_numpy() <= 40].mean() > 0.7


def test_columns_become_what_they_hold(tmp_path):
    random, n = np.random.default_rng(0), 200
    columns = {
        "flag": random.random(n) < 0.5, "holed": np.where(random.random(n) < 0.1, "?", random.integers(9, size=n)),
        "us": [f"{1 + i % 12}/{1 + i % 28}/2020" for i in range(n)],
        "iso": [f"2020-01-{1 + i % 28:02d}T08:30" for i in range(n)],
        "city": random.choice(["New York City", "Rio"], n), "text": [f"word{i} and more words" for i in range(n)],
        "name": [f"n{i}" for i in range(n)], "empty": np.nan,
        "infinite": np.where(np.arange(n) % 50, np.arange(n), np.inf),
        "half": np.where(random.random(n) < 0.5, "x", None),
    }  # fmt: skip
    table = tables.read(saved(small(**columns), tmp_path), "label")
    kinds = {name: table.X[name].dtype.kind for name in table.X}
    assert kinds == {"x": "f", "z": "f", "flag": "b", "holed": "f", "us": "M", "iso": "M", "city": "O", "text": "O",
                     "infinite": "f", "half": "O"}  # fmt: skip
    assert isinstance(table.X["city"].dtype, pd.CategoricalDtype) and table.X["text"].map(type).eq(str).all()
    said = " ".join(table.notes)
    for part in ("'name': left out, it names the rows", "'empty': left out, it is constant", "'holed': '?' taken as",
                 "'infinite': 4 infinite values"):  # fmt: skip
        assert part in said
    for model in ("boosting", "linear"):
        fitted = models.pipeline(table.X, table.task, model).fit(table.X[:150], table.y[:150])
        assert (fitted.predict(table.X[150:]) == table.y[150:]).mean() > 0.8


@pytest.mark.parametrize(
    ("target", "task", "kind"),
    [
        (np.arange(200) % 4, "classification", "i"),
        (np.arange(200) % 3 == 0, "classification", "b"),
        (np.where(np.arange(200) % 7, np.arange(200) % 2, np.nan), "classification", "i"),
        (np.arange(200) % 40, "regression", "f"),
        (np.arange(200) / 7, "regression", "f"),
    ],
)
def test_the_task_is_found_out_from_the_target(tmp_path, target, task, kind):
    table = tables.read(saved(small(label=target), tmp_path), "label")
    assert (table.task, table.y.dtype.kind) == (task, kind) and len(table.y) == np.isfinite(target).sum()
    assert any(f"so this is {task}" in note for note in table.notes)


def test_the_task_can_be_given(tmp_path, capsys):
    path = saved(small(label=np.arange(200) % 3), tmp_path)
    assert tables.read(path, "label", task="regression").y.dtype == float
    path = saved(small(label=np.arange(200) % 2 + 0.5), tmp_path)
    assert set(tables.read(path, "label", task="classification").y) == {"0.5", "1.5"}


def test_lines_that_are_kept_stand_as_they_were(tmp_path):
    lines = [f'{i};"a ""b""\nc {i % 3}";{i},50;{"no" if i % 2 else "yes"}\r\n' for i in range(150)]
    lines[3] = "3;;1,0;\r\n"  # no label
    content = "\r\n".join(["\ufeffx;text;value;label", *("".join(lines).removesuffix("\r\n"),)]).encode()
    (path := tmp_path / "my.csv").write_bytes(content)
    table = tables.read(path, "label")
    assert table.X["value"][1] == 1.5 and len(table.y) == 149 and "1 row without a value" in table.notes[0]
    assert tables.cleaned(table, np.ones(149, bool)) == content.replace(lines[3].encode(), b"")
    kept = np.arange(149) % 10 == 0
    header, *rest = tables.cleaned(table, kept).split(b"\r\n")
    assert header == "\ufeffx;text;value;label".encode() and "\r\n".join(r.decode() for r in rest) == "".join(
        np.array(lines)[table.rows[kept]]
    )
    path.write_bytes(content + b"\r\n1;a;1,0;no")
    with pytest.raises(ValueError, match="has changed since it was read"):
        tables.cleaned(table, kept)


# bad input


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, ["--target", "lable"], "--target 'lable' is no column of .*: did you mean 'label'?"),
        ({}, ["--id", "number"], "--id 'number' is no column"),
        ({}, ["--id", "label"], "--id and --target both name 'label'"),
        ({"name": ["a"] * 2 + list(range(198))}, ["--id", "name"], "--id 'name' has a several times .1 value repeated"),
        ({"name": [None, *range(199)]}, ["--id", "name"], "--id 'name' is empty in 1 row"),
        ({"label": "yes"}, [], "--target 'label' has the same value in all rows, yes"),
        ({"label": ["rare"] + ["a"] * 99 + ["b"] * 100}, [], "1 class of too few samples: rare .1.; each class needs"),
        ({"label": [None] * 150 + ["a", "b"] * 25}, [], "has 50 rows with a value of 'label': 100 are needed"),
        ({}, ["--task", "regression"], "--task regression needs numbers, and --target 'label' has 'no'"),
        ({"label": [np.inf, 0.5] * 100}, [], "--target 'label' has infinite values"),
        ({"x": [f"a{i}" for i in range(200)], "z": "same"}, [], "has no column to learn 'label' from: .*'x': left out"),
        ({}, ["--errors", "unifrom"], "--errors has 'unifrom': for classification the kinds are confusable,"),
        ({"label": np.arange(200) / 7}, ["--errors", "uniform"], "for regression the kinds are gross, permuted,"),
        ({}, ["--model", "forest"], "--model 'forest' cannot be made: "),
        ({}, ["--model", "no.such:Thing"], "--model 'no.such:Thing' cannot be made: No module named 'no'"),
        ({}, ["--model", "sklearn.svm:Nothing"], "--model 'sklearn.svm:Nothing' cannot be made: "),
        ({}, ["--model", "sklearn.svm:LinearSVC"], "--model 'sklearn.svm:LinearSVC' has no predict_proba"),
        ({}, ["--model", "sklearn.preprocessing:StandardScaler"], "has no predict_proba"),
        ({}, ["--model", "sklearn.neighbors:RadiusNeighborsClassifier"], "--model .* fails: "),
        ({}, ["--features", "f.npy"], "--features is for a folder, and .* is a table"),
        ({}, ["--seed", "-1"], "--seed must be at least 0, got -1"),
        ({}, ["--most", "0"], "--most must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_bad_tables_and_options_are_named(tmp_path, capsys, columns, options, message):
    path = saved(small(**columns), tmp_path)
    target = [] if "--target" in options else ["--target", "label"]
    said = refused(capsys, path, *target, *options, "--out", tmp_path / "report")
    assert re.search(message, said)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("my.csv", b"", "is empty: its first line must name the columns"),
        ("my.csv", b"\n\n", "is empty"),
        ("my.csv", b"x,label\n", "has 0 rows with a value of 'label': 100 are needed"),
        ("my.csv", b"label\nyes\n", "has one column, 'label': separate columns by comma"),
        ("my.csv", b"x,x,label\n1,2,yes\n", "has several columns 'x'"),
        ("my.csv", b"x,label\n1,yes\n\n2,yes,no\n", "has 3 fields in line 4, and 2 columns"),
        ("my.csv", b"x,label\n1,yes\n2\n", "has 1 field in line 3, and 2 columns"),
        ("my.csv", b'x,label\n1,yes\n2,"no\n', "look for a lone quotation mark"),
        ("my.csv", "x,label\n1,zweifelsfrei schön\n".encode("latin1"), "is not UTF-8, it has the byte 0xf6"),
        ("my.csv", "x,label\n1,yes\n".encode("utf-16"), "is not UTF-8, it has the byte 0xff"),
        ("my.xlsx", b"PK", "is of unknown type '.xlsx': give .csv"),
    ],
)
def test_files_that_are_no_tables_are_named(tmp_path, capsys, name, content, message):
    (path := tmp_path / name).write_bytes(content)
    said = refused(capsys, path, "--target", "label", "--out", tmp_path / "report")
    assert str(path) in said and message in said


def test_paths_and_missing_arguments_are_named(tmp_path, capsys):
    path, out = saved(small(), tmp_path), tmp_path / "report"
    assert "none.csv does not exist" in refused(capsys, tmp_path / "none.csv", "--target", "label", "--out", out)
    assert "--target is missing" in refused(capsys, path, "--out", out)
    said = refused(capsys, path, "--target", "label", "--out", tmp_path / "my.csv" / "report")
    assert f"{tmp_path / 'my.csv' / 'report'}: Not a directory" in said
    out.mkdir()
    (out / "thesis.tex").touch()
    assert f"--out {out} exists and is no report" in refused(capsys, path, "--target", "label", "--out", out)
    assert [p.name for p in out.iterdir()] == ["thesis.tex"]
    with pytest.raises(SystemExit) as stopped:
        main([path, "--target", "label"])
    assert stopped.value.code == 2 and "--out" in capsys.readouterr().err


def test_folders_without_classes_are_named(photos, tmp_path, capsys):
    out = tmp_path / "report"
    (tmp_path / "empty").mkdir()
    assert "empty has no readable image" in refused(capsys, tmp_path / "empty", "--out", out)
    assert "--target is for a table" in refused(capsys, photos, "--out", out, "--target", "label")
    assert "--epochs must be above 0" in refused(capsys, photos, "--out", out, "--epochs", "-1")
    assert "none.npy: No such file" in refused(capsys, photos, "--out", out, "--features", tmp_path / "none.npy")
    (photos / "class 9").mkdir()
    shutil.copy(next(photos.glob("class 1/*.png")), photos / "class 9" / "one.png")
    assert "1 class of too few samples: class 9 (1)" in refused(capsys, photos, "--out", out)
    for name in ("class 0", "class 2", "class 9"):
        shutil.rmtree(photos / name)
    assert "in 1 subfolders: give at least 100 in two or more" in refused(capsys, photos, "--out", out)


# nothing by halves


def test_a_full_disk_leaves_the_earlier_report(tmp_path, capsys, monkeypatch):
    path, out = saved(small(), tmp_path), tmp_path / "report"
    arguments = [path, "--target", "label", "--model", "linear", "--out", str(out)]
    assert main(arguments) == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    capsys.readouterr()

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    said = refused(capsys, *arguments)
    assert f"{out / 'report.html'}: No space left on device; nothing was written" in said
    assert before == {p.name: p.read_bytes() for p in out.iterdir()}


def test_ctrl_c_leaves_nothing(tmp_path):
    path = saved(pd.concat([patients()[0]] * 20), tmp_path)  # so many rows that it is not over at once
    command = [sys.executable, "-m", "itlm.audit", path, "--target", "label", "--out", str(tmp_path / "report")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ALONE) as process:
        while "fit 2" not in (line := process.stderr.readline()):
            assert line, "the command has ended"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and err.endswith("itlm.audit: stopped; nothing was written\n")
    assert [p.name for p in tmp_path.iterdir()] == ["my.csv"]


def test_parquet_is_read_or_its_package_named(tmp_path, capsys):
    path = tmp_path / "my.parquet"
    path.write_bytes(b"PAR1 not really")
    try:
        small().assign(label=lambda t: t["label"].astype("category")).to_parquet(path)
    except ImportError:
        said = refused(capsys, path, "--target", "label", "--out", tmp_path / "report")
        assert said.endswith("needs pyarrow: pip install pyarrow, or save the table as CSV")
        return
    table = tables.read(path, "label")
    assert (
        table.task == "classification"
        and tables.cleaned(table, table.y == "yes").count(b"\n") == sum(table.y == "yes") + 1
    )
