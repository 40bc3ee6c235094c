"""One page to look at, offline: what share is wrong, the alarms, and the suspects in a table to sort and search.

    Path("report.html").write_text(page(report), "utf-8")          as `Report.to_html` does

The page makes no request, and its own policy forbids any. All text is escaped, and equal reports give equal bytes.
Without JavaScript all tables are complete; they only cannot be sorted, searched or ticked.
"""

import base64
import io
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from math import ceil, floor, log10
from numbers import Real

import numpy as np

from ..errors import Missing
from ..parameters import whole

__all__ = ["page"]

HEAD, SHOWN, TITLE = 28, 60, 1000  # characters of a long text in a head, in a cell, and in its title
COLUMNS = 8  # of the user's own columns
CLASSES = 200  # classes that the table of classes lists
PIXELS = 64  # longest side of a thumbnail; larger images are reduced
QUALITY = 90  # of JPEG, taken where PNG is larger
BARS = 40  # of the histogram
SKEWED = 20  # the loss axis is logarithmic if the largest loss is above this many times the median
NONE = "–"  # what stands for a value that is missing
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
UNSHOWABLE = {0: "\ufffd", 13: "&#13;"}  # HTML has no character 0, and reads a carriage return as a new line
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def page(report, most: int = 500) -> str:
    """Return a report as one HTML document, ready to be saved as UTF-8.

    Parameters
    ----------
    report : itlm.audit.report.Report
        What to show.
    most : int, at least 1
        Number of suspects in the table: the samples of largest loss.

    Raises
    ------
    ValueError
        If ``most`` is out of range.
    Missing
        If the report has images and Pillow is not installed.
    """
    rows, found, images = report.order[: whole(1).check("most", most)], report.summary(), _Images(report.images)
    headline, here = _headline(found), files(__package__)
    # A headline that the share cannot be told is an alarm already.
    boxes = "".join(_alarm(one, report.ids, images, rows) for one in report.alarms if one.text != headline)
    cards = [*_missed(found), *_classes(found), *_confusions(found), _histogram(report.losses, report.kept[-1])]
    made = sorted(report.provenance.items(), key=lambda one: (one[0] not in ("command", "seed", "data"), one))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{found["dropped"]:,} of {found["samples"]:,} samples dropped – ITLM audit</title>
<style>
{(here / "page.css").read_text("utf-8")}</style>
</head>
<body class="still">
<header>
<p class="over">ITLM audit</p>
<h1{"" if _told(found) or found["share"] is None else ' class="doubt"'}>{_safe(headline)}</h1>
<p>{_predictions(found)} <a href="#suspects">See the suspects.</a></p>
</header>
<main>
{f"<section><h2>Alarms</h2>{boxes}</section>" if boxes else ""}
<div class="cards">
{"".join(cards)}</div>
{_suspects(report, found, images, rows)}</main>
<footer><h2>How this report was made</h2>
<dl>{"".join(f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in made)}</dl></footer>
<script>
{(here / "page.js").read_text("utf-8")}</script>
</body>
</html>
"""


def _told(found) -> bool:
    """Whether the share of wrong samples is known, and so what can be predicted from it."""
    return found["share"] is not None and found["share"]["verdict"] != "cannot tell"


def _headline(found) -> str:
    n, share = f"{found['samples']:,}", found["share"]
    if share is None:
        return f"{n} samples, {found['dropped']:,} dropped."
    upper, level = _percent(share["upper"]), f"({100 * share['level']:g}\u00a0% bound)"
    if share["verdict"] == "cannot tell":
        return f"The share of wrong samples cannot be told: {'; '.join(share['reasons'])}."
    if share["verdict"] == "none found":
        return f"No errors were found: at most {upper} of the {n} samples are wrong {level}."
    return f"An estimated {_percent(share['estimate'])} of the {n} samples are wrong, at most {upper} {level}."


def _predictions(found) -> str:
    if found["share"] is None:
        return "The share of wrong samples was not estimated."
    n, dropped = found["samples"], found["dropped"]
    some = f"{dropped:,} of the {n:,} samples ({_percent(dropped / n)})" if dropped else "no sample"
    wrong = [("dropped", "wrong_among_dropped")] * (dropped > 0) + [("kept", "wrong_among_kept")] * (dropped < n)
    shares = [f"{_percent(found[key])} of the {name} samples" for name, key in wrong if _told(found)]
    assumed = " The bound holds if real errors are like the planted ones." * bool(shares)
    return f"Trimming dropped {some}." + f" By estimate {' and '.join(shares)} are wrong." * bool(shares) + assumed


def _alarm(alarm, ids, images, rows) -> str:
    """Return an alarm as a box, with links to those of its samples that the table shows."""
    rank, items = {row: k for k, row in enumerate(rows.tolist(), 1)}, []
    for row in alarm.rows:
        name = f"{images.tag(row)}<bdi>{_safe(_cut(str(ids[row])))}</bdi>"
        items.append(f'<li><a href="#r{rank[row]}">{name}</a></li>' if row in rank else f"<li>{name}</li>")
    listed = f'<ul class="ids">{"".join(items)}</ul>' if items else ""
    return f'<div class="alarm"><p><b>Alarm.</b> {_safe(alarm.text)}</p>{listed}</div>\n'


def _missed(found) -> Iterator[str]:
    """Yield the card of the planted errors that the cut finds, the kind of which it finds least first."""
    kinds = sorted(found.get("found", {}).items(), key=lambda one: (one[1], one[0]))
    if kinds:
        columns = [
            ("Kind of error", [_cell(name) for name, _ in kinds]),
            ("Found", [_cell(part, _percent) for _, part in kinds]),
            ("Missed", [_cell(1 - part, _percent) for _, part in kinds]),
            ("", [f'<td class="bar"><i style="width:{100 * part:.1f}%"></i></td>' for _, part in kinds]),
        ]
        note = "The cut that dropped these samples finds this share of errors planted on purpose."
        note += " It may miss more errors of other kinds."
        yield _card("Errors that this report would miss", _table("planted errors", columns), note)


def _classes(found) -> Iterator[str]:
    if every := found.get("classes"):
        rows = [every[c] for c in sorted(sorted(range(len(every)), key=lambda c: -every[c]["dropped"])[:CLASSES])]
        columns = [
            ("Class", [_cell(_plain(row["class"])) for row in rows]),
            ("Samples", [_cell(row["samples"], _count) for row in rows]),
            ("Dropped", [_cell(row["dropped"], _count) for row in rows]),
            ("Share dropped", [_cell(row["dropped"] / max(row["samples"], 1), _percent) for row in rows]),
        ]
        if _told(found):
            columns.append(("Expected wrong", [_cell(row["expected_wrong"], "{:,.1f}".format) for row in rows]))
        if any("most_suggested" in row for row in rows):
            columns.append(("Most suggested", [_cell(_plain(row.get("most_suggested"))) for row in rows]))
        note = f"The {CLASSES} classes with most samples dropped, of {len(every):,}." * (len(rows) < len(every))
        yield _card("Classes", _table("classes", columns), note)


def _confusions(found) -> Iterator[str]:
    if rows := found.get("confusions"):
        columns = [(name.title(), [_cell(_plain(row[name])) for row in rows]) for name in ("given", "suggested")]
        columns.append(("Samples", [_cell(row["count"], _count) for row in rows]))
        note = "The labels that the model suggests most often for dropped samples."
        yield _card("Confusions", _table("confusions", columns), note)


def _histogram(losses, kept) -> str:
    """Return a card with the losses of all samples as SVG, those of dropped samples stacked on those of kept ones."""
    left, right, top, foot = 54, 432, 40, 206  # the axes, in a picture of 440 by 250
    at, first, last, log, below = _placed(losses)
    bar = np.clip((at * BARS).astype(int), 0, BARS - 1)
    counts = [np.bincount(bar[some], minlength=BARS) for some in (kept, ~kept)]
    tallest, wide, under, svg = int(sum(counts).max()), (right - left) / BARS, np.full(BARS, float(foot)), []

    def text(x, y, words, anchor="middle"):
        svg.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>')

    for count in _ticks(0, tallest, least=1):
        y = foot - (foot - top) * count / tallest
        svg.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        text(left - 6, y + 4, f"{count / 1000:g}k" if count >= 1e4 else f"{count:,.0f}", "end")
    for tick in _ticks(first, last, least=1 if log else 0):
        power = f"{10**tick:g}" if abs(tick) <= 3 else "10" + f"{tick:.0f}".translate(RAISED)
        text(left + (right - left) * (tick - first) / (last - first), foot + 17, power if log else f"{tick + 0:.4g}")
    for name, count, x in zip(("kept", "dropped"), counts, (left, left + 150), strict=True):
        over = under - np.where(count, np.maximum((foot - top) * count / tallest, 1), 0)  # one sample is visible
        bars = [f"M{left + k * wide + 0.4:.1f} {under[k]:.1f}V{over[k]:.1f}h{wide - 0.8:.1f}V{under[k]:.1f}z"
                for k in np.flatnonzero(count)]  # fmt: skip
        svg.append(
            f'<path class="{name}" d="{"".join(bars)}"/><rect class="{name}" x="{x}" y="4" width="11" height="11"/>'
        )
        text(x + 16, 14, f"{name} ({count.sum():,})", "start")
        under = over
    note = "Number of samples by loss; dropped samples are stacked on kept ones."
    if 0 < (dropped := int((~kept).sum())) < len(losses):
        row = np.argsort(-losses, kind="stable")[dropped - 1]
        x, side = left + (right - left) * at[row], -1 if at[row] > 0.5 else 1
        svg.append(f'<path class="cut" d="M{x:.1f} {top - 16}V{foot}"/>')
        text(x + 5 * side, top - 8, f"cut at {_number(losses[row])}", "end" if side < 0 else "start")
        note += (
            f" The dashed line is the cut: {(losses >= losses[row]).sum():,} samples have this loss or a larger one."
        )
        if across := int((losses[~kept] < losses[row]).sum()):
            note += f" Of the dropped, {across:,} are left of the cut: they were not dropped by this loss alone."
    note += f" The first bar includes {below:,} smaller losses." * (below > 0)
    svg.append(f'<path class="axis" d="M{left} {foot}H{right}"/>')
    text((left + right) / 2, foot + 39, "loss of a sample" + " (logarithmic)" * log)
    svg.append(f'<text transform="translate(12 {(top + foot) / 2})rotate(-90)" text-anchor="middle">samples</text>')
    picture = f'<svg viewBox="0 0 440 250" role="img" aria-label="Histogram of the losses">{"".join(svg)}</svg>'
    return _card("Losses of all samples", picture, note)


def _placed(losses) -> tuple[np.ndarray, float, float, bool, int]:
    """Place losses on an axis.

    Returns the places from 0 to 1, shape (n,); the axis' first and last value; whether these are logarithms to base 10;
    and how many losses are smaller than the first.
    """
    finite = losses[np.abs(losses) < 1e300]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    log = low >= 0 and len(finite) > 0 and bool(np.median(finite) < high / SKEWED)
    if not log and 0 <= low < high / 10:
        low = 0.0
    if log:
        low = min(max(float(np.quantile(finite[finite > 0], 0.01)), high * 1e-6), high / 100)
    scale = np.log10 if log else np.asarray
    first, last = float(scale(low)), float(scale(high))
    if first == last:
        first, last = first - max(0.5, abs(first)), last + max(0.5, abs(last))
    return (scale(np.clip(losses, low, high)) - first) / (last - first), first, last, log, int((losses < low).sum())


def _ticks(low: float, high: float, least: float) -> list[float]:
    """Return about four round numbers from low to high, ``least`` or more apart."""
    raw = max((high - low) / 4, least)
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 5, 10, 20) if m * power >= raw)
    return [k * step for k in range(ceil(low / step), floor(high / step) + 1)]


def _suspects(report, found, images, rows) -> str:
    """Return the table of the samples in ``rows``, the most suspect first, with what it takes to review them."""
    ids, dropped = [str(one) for one in report.ids[rows]], ~report.kept[:, rows]
    notes = ["The samples are listed by descending loss."]
    box = '<td><input type="checkbox" value="{}" aria-label="{} is wrong"></td>'.format
    state = '<td class="in">kept</td>', '<td class="out">dropped</td>'
    columns = [
        ("Wrong?", [box(_safe(one), _safe(_cut(one))) for one in ids]),
        ("Rank", [_cell(k, _count) for k in range(1, len(rows) + 1)]),
    ]
    if report.images is not None:
        columns.append(("Image", [f"<td>{images.tag(row)}</td>" for row in rows]))
    columns.append(("Id", [_cell(one, tag="th") for one in ids]))
    for name in ("given", "suggested"):
        if (values := getattr(report, name)) is not None and values.ndim == 1:
            values = map(_plain, values[rows]) if report.by_class else values[rows]
            columns.append((name.title(), [_cell(one, _number) for one in values]))
    columns.append(("Loss", [_cell(one, _number) for one in report.losses[rows]]))
    if _told(found):
        columns.append(("Probability wrong", [_cell(one, _chance) for one in report.probability[rows]]))
    if report.margin is not None:
        columns.append(("Margin", [_cell(one, _number) for one in report.margin[rows]]))
        notes.append("A margin below 0 means that the model prefers another label.")
    columns.append(("Status", [state[out] for out in dropped[-1].tolist()]))
    if len(dropped) > 1:
        first = [int(one.argmax()) if one.any() else None for one in dropped.T]
        columns.append(("First dropped", [_cell(one) for one in first]))
        start = "; Round 0 drops half of all samples on purpose" * bool(report.kept[0].mean() < 0.6)
        notes.append(f"First dropped is a round, counted from 0{start}.")
    columns += [
        (name, [_cell(one, _number) for one in report.scores[name][rows]]) for name in sorted(report.scores, key=str)
    ]
    if (details := report.details) is not None:
        for name, (_, values) in zip(details.columns[:COLUMNS], details.iloc[rows].items(), strict=False):
            columns.append((name, [_cell(one) for one in values.tolist()]))
        if (own := details.shape[1]) > COLUMNS:
            notes.append(f"The first {COLUMNS} of your {own} columns are shown.")
    marks, choice = [f'id="r{k}"' for k in range(1, len(rows) + 1)], ""
    if report.by_class:
        labels = [_plain(label) for label in report.given[rows]]
        code = {}  # numbers the labels in the order of the classes
        for label in [*(_plain(one["class"]) for one in found["classes"]), *labels]:
            code.setdefault(label, len(code))
        marks = [f'{mark} data-given="{code[label]}"' for mark, label in zip(marks, labels, strict=True)]
        listed = sorted({code[label]: label for label in labels}.items())
        options = "".join(f'<option value="{k}">{_safe(_cut(label))}</option>' for k, label in listed)
        choice = f'<label>Given <select id="given"><option value="">all</option>{options}</select></label>'
    few, n = len(rows), len(report.losses)
    title = f"The {few:,} most suspect of {n:,} samples" if few < n else f"All {n:,} samples, the most suspect first"
    return f"""<section id="suspects">
<h2>{title}</h2><p>{" ".join(notes)}</p>
<div class="tools"><label>Search <input type="search" id="find"></label>{choice}
<button type="button" id="copy">Copy the ids shown</button><button type="button" id="save">Save my decisions</button>
<span role="status"></span></div>
{_table("suspects", columns, marks)}</section>
"""


class _Images:
    """Thumbnails as tags; each image is encoded once."""

    def __init__(self, images):
        self.images, self.tags = images, {}

    def tag(self, row: int) -> str:
        if self.images is None:
            return ""
        if row not in self.tags:
            size = f'width="{PIXELS}" height="{PIXELS}"'
            self.tags[row] = f'<img src="{_data(self.images[row])}" alt="" {size} loading="lazy" decoding="async">'
        return self.tags[row]


def _data(image) -> str:
    """Return a reduced image as a data address, in PNG or JPEG, whichever is smaller."""
    try:
        from PIL import Image
    except ImportError as error:
        raise Missing("a page with images needs Pillow: pip install pillow, or leave images out") from error
    small, found = Image.fromarray(np.asarray(image)), []
    small.thumbnail((PIXELS, PIXELS))
    for kind, options in (("png", {}), ("jpeg", {"quality": QUALITY})):
        small.save(target := io.BytesIO(), kind, optimize=True, **options)
        found.append(f"data:image/{kind};base64,{base64.b64encode(target.getvalue()).decode()}")
    return min(found, key=len)


def _card(title: str, content: str, note: str) -> str:
    return f"<section><h2>{title}</h2>{f'<p>{note}</p>' if note else ''}{content}</section>\n"


def _table(title: str, columns: list[tuple], marks: list[str] | None = None) -> str:
    """Return a table that scrolls in its own box. A column is its head and its cells, a mark a row's attributes."""
    heads = ""
    for head, cells in columns:
        numbers = ' class="number"' if any(' data-v="' in cell for cell in cells) else ""
        heads += f'<th scope="col"{numbers}>{_safe(_cut(str(head), HEAD))}</th>'
    rows = ["".join(cells) for cells in zip(*(cells for _, cells in columns), strict=True)]
    body = "\n".join(f"<tr {mark}>{row}</tr>" for mark, row in zip(marks or [""] * len(rows), rows, strict=True))
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table>
<thead><tr>{heads}</tr></thead>
<tbody>
{body}
</tbody></table></div>"""


def _cell(value, show=None, tag: str = "td") -> str:
    """Return a cell. Numbers carry their value to sort by; long text is cut, and its title has more."""
    value = value.item() if isinstance(value, np.number) else value
    text, more = (show or _plain)(value), ' scope="row"' if tag == "th" else ""
    if text == NONE:
        more += ' class="none"'
    elif isinstance(value, Real) and not isinstance(value, bool):
        more += f' data-v="{float(min(max(value, -1e308), 1e308)):.9g}"'
    elif len(text) > SHOWN:
        more += f' title="{_safe(_cut(text, TITLE))}"'
    return f"<{tag}{more}>{_safe(_cut(text))}</{tag}>"


def _plain(value) -> str:
    """Return a user's value as text: a float with at most six digits, and a dash for None, NaN, NaT and NA."""
    if not isinstance(value, str) and str(value) in ("None", "nan", "NaT", "<NA>"):
        return NONE
    if not isinstance(value, float | np.floating):
        return str(value)
    exact = float(value).is_integer() and abs(value) < 1e15
    return f"{value:.0f}" if exact else f"{value:.6g}".replace("inf", "∞")


def _number(value) -> str:
    """Return a float with three digits, other values as they are."""
    if not isinstance(value, float | np.floating) or not np.isfinite(value):
        return _plain(value)
    return f"{value:,.0f}" if 999.5 <= abs(value) < 1e9 else f"{value:#.3g}".removesuffix(".")


def _count(value: int) -> str:
    return f"{value:,}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}\u00a0%"


def _chance(value: float) -> str:
    """Return a probability; none is certain."""
    return ">\u00a099\u00a0%" if value > 0.99 else _percent(value)


def _cut(text: str, most: int = SHOWN) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _safe(value) -> str:
    """Return text that is safe in HTML and in quoted attributes; lone surrogates are spelled out."""
    return escape(str(value).encode("utf-8", "backslashreplace").decode()).translate(UNSHOWABLE)
