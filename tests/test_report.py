"""Reports: which samples are suspect, what a report predicts, what it warns of, and its files."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression

from itlm import iterate
from itlm.audit import alarms, compare, plant
from itlm.audit.inspection import inspected
from itlm.audit.report import NAMES, Report, digest
from itlm.errors import Missing
from itlm.estimators import TrimmedEstimator, TrimmedRegressor

pytestmark = pytest.mark.usefixtures("one_thread")
SCHEMA = Path(alarms.__file__).parent / "report.schema.json"


@pytest.fixture(scope="module")
def digits():
    """A report of scikit-learn's digits, 15 % of them with another label, and which ones."""
    X, truth = load_digits(return_X_y=True)
    y = plant(X / 16, truth, "uniform", 270, random_state=0).y
    model = TrimmedEstimator(LogisticRegression(max_iter=200), 0.8).fit(X / 16, y)
    names = [f"digit {i}" for i in range(len(y))]
    return Report.from_estimator(model, X / 16, y, ids=names, command="a test"), y != truth


def mixture(share=0.2, n=2000, seed=0, distance=4.0, **options):
    """A report of samples whose losses are those of two classes of samples, and which are wrong."""
    random = np.random.default_rng(seed)
    wrong = random.random(n) < share
    losses = random.normal(size=n) + distance * wrong
    found = compare(losses, random.normal(size=n) + distance)
    kept = losses <= np.quantile(losses, 1 - share) if share else np.ones(n, bool)
    return Report.of(losses, kept=kept, share=found, **options), wrong


# what it says of each sample


def test_the_first_suspects_are_wrong_and_the_right_label_is_suggested(digits):
    report, wrong = digits
    table = report.to_frame()
    first = table.sort_values("rank").head(200)
    assert wrong[first.index].mean() > 0.95
    truth = load_digits().target[first.index]
    assert (first["suggested"] == truth).mean() > 0.9 and (first["margin"] < 0).mean() > 0.95
    assert table["id"].tolist() == [f"digit {i}" for i in range(len(table))]


def test_each_column_means_what_it_says(digits):
    report, _ = digits
    table = report.to_frame()
    assert sorted(table["rank"]) == list(range(1, len(table) + 1))
    assert table.sort_values("rank")["loss"].is_monotonic_decreasing
    for label, rows in table.groupby("given"):
        assert sorted(rows["rank_in_class"]) == list(range(1, (report.given == label).sum() + 1))
    kept = np.array([list(rounds) for rounds in table["kept_rounds"]]) == "1"
    assert np.array_equal(kept.T, report.kept) and np.array_equal(table["dropped"], ~report.kept[-1])
    for row, first in zip(kept, table["first_dropped"], strict=True):
        assert row.all() if first is pd.NA else (not row[first] and row[:first].all())


@given(st.floats(0.02, 0.45), st.integers(0, 50))
def test_probabilities_rise_with_the_loss_and_add_up_to_the_estimate(share, seed):
    report, _ = mixture(share, seed=seed)
    table = report.to_frame().sort_values("loss")
    assert table["probability"].is_monotonic_increasing and table["probability"].between(0, 1).all()
    assert table["probability"].sum() == pytest.approx(report.share.estimate * len(table), rel=0.02, abs=2)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_predicted_shares_of_wrong_samples_are_near_the_truth(share):
    gaps = []
    for seed in range(10):
        report, wrong = mixture(share, round(400 / share), seed, distance=4.5)
        found, dropped = report.summary(), ~report.kept[-1]
        gaps.append(abs(found["wrong_among_dropped"] - wrong[dropped].mean()))
        assert abs(found["wrong_among_kept"] - wrong[~dropped].mean()) < 0.03
    assert np.quantile(gaps, 0.9) < 0.05


def test_the_summary_counts_classes_confusions_and_what_would_be_missed(digits):
    report, wrong = digits
    found = report.summary()
    assert sum(row["samples"] for row in found["classes"]) == found["samples"] == len(wrong)
    assert sum(row["dropped"] for row in found["classes"]) == found["dropped"]
    assert abs(sum(row["expected_wrong"] for row in found["classes"]) / wrong.sum() - 1) < 0.25
    assert all(row["given"] != row["suggested"] for row in found["confusions"])
    assert found["confusions"] == sorted(found["confusions"], key=lambda row: -row["count"])
    assert set(found["found"]) == {"uniform", "confusable"} and min(found["found"].values()) > 0.9


def test_ground_truth_is_not_needed_and_the_same_data_give_the_same_report(digits):
    report, _ = digits
    X, y = load_digits().data / 16, report.given
    model = TrimmedEstimator(LogisticRegression(max_iter=200), 0.8).fit(X, y)
    again = Report.from_estimator(model, X, y, ids=report.ids, command="a test")
    pd.testing.assert_frame_equal(report.to_frame(), again.to_frame())


# what a report is made from


def test_a_regressors_report_suggests_values():
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 3))
    y = X.sum(axis=1) + 0.1 * random.normal(size=400)
    y[:40] *= 10
    report = Report.from_estimator(TrimmedRegressor(random_state=0).fit(X, y), X, y)
    table = report.to_frame().sort_values("rank")
    assert (table.index[:30] < 40).mean() > 0.9 and "rank_in_class" not in table
    assert np.abs(table["suggested"].to_numpy() - X[table.index].sum(axis=1)).max() < 0.3
    assert "classes" not in report.summary()


def test_the_rounds_of_iterate_are_the_reports():
    y = np.r_[np.zeros(80), np.full(20, 5.0)]
    rounds = list(iterate(lambda m: (y - m) ** 2, lambda m, kept, t: y[kept].mean(), y.mean(), 0.8, 4))
    report = Report.from_rounds(rounds, y)
    assert report.kept.shape == (5, 100) and report.to_frame().sort_values("rank").index[:20].min() == 80
    assert report.summary()["share"] is None and report.probability is None


def test_a_share_that_cannot_be_told_drops_nothing():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(400, 5)), random.integers(2, size=400)
    share, found = inspected(LogisticRegression(), X, y)
    assert share.verdict == "cannot tell"
    report = Report.from_share(share, y, X=X, **found)
    assert report.summary()["dropped"] == 0 and "share" in [alarm.kind for alarm in report.alarms]


# alarms


def kinds(report):
    return [alarm.kind for alarm in report.alarms]


def labelled(n=2000, seed=0, features=20):
    random = np.random.default_rng(seed)
    X, y = random.normal(size=(n, features)), random.integers(4, size=n)
    return X, y, random.exponential(size=n), random


def test_samples_without_a_pattern_raise_no_alarm():
    alarmed = 0
    for seed in range(40):
        X, y, losses, _ = labelled(seed=seed)
        alarmed += bool(kinds(Report.of(losses, kept=losses < np.quantile(losses, 0.8), given=y, X=X)))
    assert alarmed <= 1


def test_a_class_that_is_dropped_out_of_proportion_is_named():
    X, y, losses, _ = labelled()
    y[:60] = 4
    losses[:60] += 3
    report = Report.of(losses, kept=losses < np.quantile(losses, 0.9), given=y, X=X)
    (alarm,) = report.alarms
    assert alarm.kind == "class" and alarm.text.startswith("Class 4 loses") and max(alarm.rows) < 60


def test_a_mark_that_makes_samples_easy_is_seen():
    X, y, losses, random = labelled(n=4000)
    X[:60, 7], y[:60], losses[:60] = 3.0, 2, 1e-6 * random.random(60)
    report = Report.of(losses, kept=losses < np.quantile(losses, 0.9), given=y, X=X)
    assert set(kinds(report)) == {"easy", "detail"}
    detail = report.alarms[kinds(report).index("detail")]
    assert "class 2" in detail.text and "number 7" in detail.text and max(detail.rows) < 60


@pytest.mark.parametrize("kind", ["array", "frame", "sparse", "tensor", "text"])
def test_duplicates_with_other_labels_are_found(kind):
    X, y, losses, _ = labelled(n=300)
    X[10], X[20] = X[5], X[6]
    y[[5, 10, 6, 20]] = 0, 1, 2, 2  # the second pair agrees
    given = {
        "array": lambda: X, "frame": lambda: pd.DataFrame(X).assign(word="a"),
        "sparse": lambda: pytest.importorskip("scipy.sparse").csr_array(X),
        "tensor": lambda: pytest.importorskip("torch").tensor(X), "text": lambda: X.astype(str).astype(object),
    }[kind]()  # fmt: skip
    (alarm,) = Report.of(losses, kept=losses < 2, given=y, X=given).alarms
    assert alarm.kind == "duplicates" and alarm.rows == (5, 10)


def test_losses_that_say_nothing_are_named():
    flat = Report.of(np.zeros(100), kept=np.ones(100, bool))
    separated = Report.of(np.arange(100), kept=np.ones(100, bool), log_loss=np.full(100, 1e-5))
    assert kinds(flat) == kinds(separated) == ["blind"]


# files


WRITERS = {
    "csv": lambda r, p: r.to_csv(p), "json": lambda r, p: r.to_json(p), "html": lambda r, p: r.to_html(p),
    "parquet": lambda r, p: r.to_parquet(p),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_report_gives_the_same_bytes_with_its_provenance(digits, tmp_path, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    for name in ("a", "b"):
        WRITERS[kind](digits[0], tmp_path / name)
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    for part in (b"a test", digits[0].provenance["data"].encode(), np.__version__.encode()):
        assert part in content


def test_csv_and_parquet_read_back(digits, tmp_path):
    report, table = digits[0], digits[0].to_frame()
    report.to_csv(tmp_path / "r.csv")
    back = pd.read_csv(tmp_path / "r.csv", dtype={"kept_rounds": str, "first_dropped": "Int64"})
    assert json.loads(back.pop("provenance")[0])["command"] == "a test"
    pd.testing.assert_frame_equal(back, table, check_dtype=False)
    pytest.importorskip("pyarrow")
    report.to_parquet(tmp_path / "r.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "r.parquet"), table, check_dtype=False)


def test_without_pyarrow_the_error_says_what_to_install(digits, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Missing, match="pip install pyarrow"):
        digits[0].to_parquet(tmp_path / "r.parquet")


@pytest.mark.parametrize("which", ["digits", "regression", "bare", "marked"])
def test_json_follows_the_published_schema(digits, tmp_path, which):
    jsonschema = pytest.importorskip("jsonschema")
    X, y, losses, _ = labelled(n=4000)
    losses[0] = np.inf
    X[:60, 7], y[:60], losses[1:60], X[100] = 3.0, 2, 1e-9, X[99]
    report = {
        "digits": digits[0], "bare": Report.of(losses, kept=losses < 1),
        "regression": mixture(given=np.linspace(0, 1, 2000), scores={"distance": np.arange(2000.0)})[0],
        "marked": Report.of(losses, kept=losses < 1, given=np.where(y, y, None).astype(object).astype(str), X=X),
    }[which]  # fmt: skip
    report.to_json(tmp_path / "r.json")
    written = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(written, json.loads(SCHEMA.read_text()))
    assert len(written["samples"]) == len(report.losses)


def test_cleanlabs_names_are_those_of_datalab(digits):
    datalab = pytest.importorskip("cleanlab.datalab.internal.issue_manager.label").LabelIssueManager
    theirs = digits[0].to_frame("datalab")
    assert datalab.issue_score_key in theirs and "is_label_issue" in theirs
    assert theirs["is_label_issue"].dtype == bool and theirs["label_score"].between(0, 1).all()
    assert list(digits[0].to_frame("fiftyone")) == ["filepath", "ground_truth", "predictions", "mistakenness"]
    with pytest.raises(ValueError, match="names must be one of 'datalab', 'fiftyone' or None, got 'cvat'"):
        digits[0].to_frame("cvat")
    assert set(NAMES) == {"datalab", "fiftyone"}


def test_a_printed_report_says_how_many_are_wrong(digits):
    assert "of the samples, at most" in repr(digits[0]) and "digit" in repr(digits[0])


def test_the_digest_is_of_rows_and_labels():
    X, y, *_ = labelled(n=50)
    other = y.copy()
    other[3] += 1
    assert digest(X, y) == digest(X.copy(), y) != digest(X, other)
    assert digest(X, y) != digest(X[::-1], y)


# faults


@pytest.mark.parametrize(("change", "message"), [
    ({"ids": ["a"] * 10}, "ids must be unique, got a 10 times"),
    ({"ids": range(9)}, "ids has 9 samples, and losses has"),
    ({"given": np.zeros(3)}, "given has 3 samples"), ({"kept": np.ones(3, bool)}, "kept has 3 samples"),
    ({"losses": np.full(10, np.nan)}, "NaN"), ({"X": np.zeros((4, 2))}, "X has 4 samples"),
    ({"scores": {"margin of AUM": np.zeros(2)}}, "margin of AUM has 2 samples"),
    ({"margin": np.zeros(10)}, "margin needs the given labels"),
    ({"ids": np.zeros((10, 2))}, "ids must be one for each"),
    ({"given": np.array([*"abcdefghi", None], object)}, "given lacks 1 of 10 labels"),
    ({"given": np.r_[np.zeros(8), np.nan, np.nan]}, "given lacks 2 of 10 labels"),
    ({"images": np.zeros((10, 8, 8))}, "images must be uint8, .* got float64"),
    ({"images": np.zeros((10, 3, 8, 8), np.uint8)}, "colours last"),
])  # fmt: skip
def test_bad_input_is_named(change, message):
    given = {"losses": np.arange(10.0), "kept": np.ones(10, bool)} | change
    with pytest.raises(ValueError, match=message):
        Report.of(given.pop("losses"), **given)


def test_a_model_that_cannot_be_reported_is_named():
    with pytest.raises(ValueError, match="must be a fitted trimmed estimator, got LogisticRegression"):
        Report.from_estimator(LogisticRegression(), np.zeros((4, 1)), np.zeros(4))
    with pytest.raises(ValueError, match="rounds is empty"):
        Report.from_rounds([])
    with pytest.raises(ValueError, match="share has no losses of the 3 samples"):
        Report.from_share(mixture()[0].share, np.zeros(3))
    from sklearn.svm import LinearSVC

    with pytest.raises(ValueError, match="LinearSVC has no predict_proba: wrap it in CalibratedClassifierCV"):
        inspected(LinearSVC(), np.zeros((4, 1)), np.array([0, 1, 0, 1]))
    share, found = inspected(LinearRegression(), np.arange(200.0)[:, None], np.arange(200.0))
    assert found["suggested"] == pytest.approx(np.arange(200.0))
