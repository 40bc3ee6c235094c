"""The report as a page: complete, escaped, the same for the same report, small, and usable in a browser."""

import csv
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from itlm.audit.alarms import Alarm
from itlm.audit.fraction import compare
from itlm.audit.page import page
from itlm.audit.report import Report

NASTY = """<script>alert(1)</script> </script> "' onerror=alert(2) x=' & &amp; <!-- --> \u202e ü \ud800 \x00 \r\n"""


class Reader(HTMLParser):
    """The tags, attributes and texts of a page, which must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.cells, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attributes]
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in ("meta", "link", "img", "input", "path", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data


def of(n=400, **options):
    """A report with every part: n samples with classes, a fifth of them wrong."""
    random = np.random.default_rng(0)
    wrong = random.random(n) < 0.2
    losses = random.normal(size=n) + 5 * wrong
    one = compare(losses, random.normal(size=300) + 5)
    kept = np.array([np.ones(n, bool), losses < 2.5])
    made = {
        "kept": kept, "given": random.integers(3, size=n), "suggested": random.integers(3, size=n),
        "margin": random.normal(size=n), "share": dataclasses.replace(one, by_kind={"uniform": one}),
        "scores": {"epochs": random.random(n)}, "ids": [f"sample {k}" for k in range(n)], "seed": 0,
        "command": "a test", "details": pd.DataFrame({"note": [f"note {k}" for k in range(n)], "when": pd.NaT}),
        "images": random.integers(256, size=(n, 32, 32, 3), dtype=np.uint8),
    }  # fmt: skip
    return Report.of(losses, **made | options)


def headline(text):
    return re.search("<h1.*?>(.*)</h1>", text)[1].replace("\u00a0", " ")


# what it says


def test_the_first_sentence_is_the_answer():
    report = of()
    text = page(report)
    share = report.share
    assert headline(text) == (
        f"An estimated {share.estimate:.1%} of the 400 samples are wrong, at most {share.upper:.1%} (95% bound)."
    ).replace("%", " %")
    none, unknown = (
        dataclasses.replace(share, verdict=verdict, reasons=("the kinds < disagree",), upper=0.0123)
        for verdict in ("none found", "cannot tell")
    )
    assert headline(page(of(share=none))) == (
        "No errors were found: at most 1.2 % of the 400 samples are wrong (95 % bound)."
    )
    text = page(of(share=unknown))
    assert headline(text) == "The share of wrong samples cannot be told: the kinds &lt; disagree."
    assert "Probability wrong" not in text and "Expected wrong" not in text and "<h2>Alarms</h2>" not in text
    assert headline(page(of(share=None))) == f"400 samples, {(~report.kept[-1]).sum()} dropped."


def chance(probability):
    return "> 99 %" if probability > 0.99 else f"{probability:.1%}".replace("%", " %")


def test_a_row_says_what_the_table_of_the_report_says():
    report = of()
    table = report.to_frame().sort_values("rank").iloc[0]
    text = page(report, 1).replace("\u00a0", " ")
    row = Reader(re.search('<tr id="r1".*?</tr>', text)[0]).cells
    assert row == [
        "", "1", "", table["id"], str(table["given"]), str(table["suggested"]), f"{table['loss']:.3g}",
        chance(table["probability"]), f"{table['margin']:.3g}", "dropped", "1",
        f"{table['epochs']:.3g}", f"note {table.name}", "–",
    ]  # fmt: skip
    assert "The 1 most suspect of 400 samples" in text


def test_an_alarm_links_to_the_rows_that_are_listed():
    report = of()
    first, last = report.order[0], report.order[-1]
    alarmed = dataclasses.replace(report, alarms=(Alarm("class", "Look <here>.", (int(first), int(last))),))
    text = page(alarmed, 10)
    assert "Look &lt;here&gt;." in text
    (box,) = re.findall('<div class="alarm">.*?</div>', text, re.S)
    assert re.findall('href="#(.*?)"', box) == ["r1"] and 'id="r1"' in text
    assert report.ids[first] in box and report.ids[last] in box and box.count("<img") == 2


# what it can be given


@pytest.fixture(scope="module")
def plain():
    """What a page of harmless names consists of."""
    return Reader(page(of()))


texts = st.text(st.characters(), max_size=80)


@settings(max_examples=25, deadline=None)
@given(name=texts, label=texts, column=texts)
@example(NASTY, NASTY, NASTY)
@example(100 * NASTY, "", "–")
def test_any_text_stays_text(plain, name, label, column):
    labels = np.array([label, "b", "b"], object)
    report = Report.of(
        [3.0, 1, 2], kept=[0, 1, 1], ids=np.array([name, name + "1", name + "2"], object), given=labels,
        suggested=labels[::-1], command=name, scores={column: [0.5, np.inf, -1]}, data=label,
        details=pd.DataFrame(  # of objects: Arrow's strings have no lone surrogates
            np.array([[name, None, float("nan")], [label, True, 10**40]], object).T, dtype=object,
            columns=pd.Index([column, "other"], dtype=object),
        ),
    )  # fmt: skip
    report = dataclasses.replace(report, alarms=(Alarm("class", name, (0, 1)),))
    text = page(report)
    text.encode()
    seen = Reader(text)
    assert seen.tags.count("script") == 1 and seen.tags.count("style") == 1
    assert set(seen.tags) <= set(plain.tags) | {"a", "bdi", "ul", "li", "b"}
    assert {(tag, key) for tag, key, _ in seen.attributes} <= {(tag, key) for tag, key, _ in plain.attributes} | {
        ("div", "class"), ("ul", "class"), ("td", "title"), ("th", "title"), ("td", "class"), ("th", "class"),
    }  # fmt: skip
    ids = [value for tag, key, value in seen.attributes if (tag, key) == ("input", "value")]
    exact = name.encode("utf-8", "backslashreplace").decode().replace("\0", "\ufffd")
    assert ids == [exact, exact + "2", exact + "1"]


def test_the_same_report_gives_the_same_bytes_whatever_the_order_of_its_names():
    report = of(50, scores={"a": np.arange(50.0), "b": np.arange(50)}, share=None)
    other = dataclasses.replace(
        report,
        scores=dict(reversed(report.scores.items())),
        provenance=dict(reversed(report.provenance.items())),
    )
    assert page(report) == page(report) == page(other)


@pytest.mark.parametrize("natural", [True, False])
def test_500_colour_thumbnails_fit_in_2_megabytes(natural):
    random = np.random.default_rng(0)
    images = random.integers(256, size=(600, 32, 32, 3), dtype=np.uint8)  # noise is the worst case
    if natural:
        images = (127 + 60 * np.cumsum(random.normal(size=(600, 32, 32, 3)), axis=1) / 6).clip(0, 255).astype(np.uint8)
    text = page(of(600, images=images))
    assert text.count("<img") == 500
    assert len(text.encode()) < 2_000_000


DEGENERATE = {
    "nothing but losses": {"given": None, "suggested": None, "margin": None, "share": None, "images": None,
                           "scores": None, "details": None, "ids": None, "seed": None, "command": ""},
    "regression": {"given": np.linspace(-1e6, 1e7, 400), "suggested": np.linspace(0, 1, 400), "margin": None},
    "several outputs": {"given": np.ones((400, 2)), "suggested": np.ones((400, 2)), "margin": None},
    "missing values": {"margin": np.r_[np.full(399, np.nan), np.inf], "scores": {"a": np.full(400, np.nan)}},
    "odd outputs": {"given": np.full(400, np.inf), "suggested": np.full(400, np.nan), "margin": None},
    "no suggestion": {"suggested": None, "margin": None},
    "nothing dropped": {"kept": np.ones(400, bool)},
    "everything dropped": {"kept": np.zeros(400, bool)},
    "float32 and float16": {"margin": np.ones(400, np.float32), "scores": {"a": np.ones(400, np.float16)}},
    "one class": {"given": np.zeros(400, bool), "suggested": np.zeros(400, bool)},
    "grey images": {"images": np.zeros((400, 8, 8), np.uint8)},
    "large images": {"images": np.zeros((400, 100, 300, 3), np.uint8)},
    "many columns": {"details": pd.DataFrame(np.ones((400, 20))), "images": None},
    "classes that are mostly unique": {"given": np.arange(400), "suggested": np.arange(400) // 2},
}  # fmt: skip


@pytest.mark.parametrize("options", DEGENERATE.values(), ids=DEGENERATE)
def test_a_report_that_lacks_something_has_a_page(options):
    text = page(of(**options), 20)
    read = Reader(text)
    visible = re.sub("<(style|script)>.*?</\\1>", "", text, flags=re.S)
    assert read.tags.count("h1") == 1 and read.tags.count("svg") == 1
    assert not re.search(r"\b(nan|inf|None|NaT)\b", re.sub('data-v="[^"]*"|base64,[^"]*', "", visible))


@pytest.mark.parametrize(
    "losses",
    [[0.0], [0.0, 0, 0], [np.inf, np.inf], [1e-320, 1], [-1e299, 1e299], [0, 0, 0, 1e-9], [5, 5, np.inf], [1e308, 0]],
    ids=str,
)
def test_any_losses_have_a_histogram(losses):
    kept = np.arange(len(losses)) > 0
    text = page(Report.of(losses, kept=kept))
    numbers = re.findall(r'<(?:text|path|rect)[^>]* (?:x|y|d)="([^"]*)"', text)
    assert len(numbers) > 8 and not re.search("nan|inf", "".join(numbers))
    assert f"kept ({kept.sum()})" in text and f"dropped ({(~kept).sum()})" in text


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="most must be an integer of at least 1, got 0"):
        page(of(20, share=None), 0)


# in a browser


@pytest.fixture
def opened(browser, tmp_path):
    """Open a report on a phone, with a list of errors and of requests beyond the page itself."""
    contexts = []

    def open_(report, **options):
        report.to_html(tmp_path / "report.html")
        contexts.append(browser.new_context(viewport={"width": 390, "height": 844}, **options))
        page = contexts[-1].new_page()
        page.complaints = []
        page.on("console", lambda m: page.complaints.append(m.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "request", lambda r: page.complaints.append(r.url) if not r.url.startswith(("data:", "blob:")) else None
        )
        page.goto((tmp_path / "report.html").as_uri())
        assert page.complaints == [(tmp_path / "report.html").as_uri()]
        page.complaints.clear()
        return page

    yield open_
    for context in contexts:
        context.close()


def test_suspects_are_sorted_searched_filtered_ticked_and_saved(opened, tmp_path):
    names = [NASTY.replace("\ud800", "").replace("\x00", "").strip() if k == 0 else f"sample {k}" for k in range(400)]
    report = of(ids=np.array(names, object))
    page = opened(report)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    rows = page.locator("#suspects tbody tr:visible")
    head = lambda name: page.locator("#suspects").get_by_role("button", name=name, exact=True)  # noqa: E731
    column = lambda k: [float(t) for t in page.locator(f"#suspects tbody td:nth-child({k})").all_inner_texts()]  # noqa: E731
    assert (
        rows.count() == 400 and rows.first.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 32
    )

    head("Loss").focus()
    page.keyboard.press("Enter")
    assert column(7) == sorted(column(7)) and column(7)[0] < 0
    page.keyboard.press("Enter")
    assert column(7) == sorted(column(7), reverse=True)
    assert page.locator("#suspects th[aria-sort=descending]").inner_text() == "Loss"

    page.get_by_label("Search").fill("DROPPED sample")
    assert rows.count() == (~report.kept[-1]).sum()
    page.get_by_label("Search").fill("")
    page.get_by_label("Given").select_option("2")
    assert rows.count() == (report.given == 2).sum()
    page.get_by_label("Given").select_option("all")

    page.get_by_label("Search").fill("alert(1)")
    assert rows.count() == 1
    rows.first.get_by_role("checkbox").check()
    assert page.get_by_role("status").inner_text() == "1 of 400 shown, 1 marked as wrong."
    with page.expect_download() as download:
        page.get_by_role("button", name="Save my decisions").click()
    download.value.save_as(tmp_path / "decisions.csv")
    with open(tmp_path / "decisions.csv", newline="", encoding="utf-8") as file:
        saved = list(csv.reader(file))
    assert saved[0] == ["id", "decision"] and [names[0], "wrong"] in saved
    assert [i for i, _ in saved[1:]] == [names[k] for k in report.order]
    assert sum(decision == "unmarked" for _, decision in saved) == 399
    assert not page.complaints


@pytest.mark.parametrize(
    "options", [{"color_scheme": "dark"}, {"java_script_enabled": False}], ids=["dark", "no script"]
)
def test_the_page_reads_in_dark_mode_and_without_scripts(opened, options):
    page = opened(of(), **options)
    scripts = "color_scheme" in options
    assert page.get_by_label("Search").is_visible() == page.get_by_role("checkbox").first.is_visible() == scripts
    assert page.locator("#suspects tbody tr").count() == 400
