"""The book's figures: one palette, one style, and a figure that a reader steps through.

The colours are those of Okabe & Ito, safe for colour-blind readers. Each colour has one meaning on every page.
"""

import base64
import html
import io
import sys
import uuid
from collections.abc import Iterable

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

__all__ = [
    "style", "label_ends", "band", "interval", "log_ticks", "image_grid", "mosaics", "stepper", "CLEAN", "BAD", "ITLM",
    "BASELINE", "ORACLE", "OTHER",
]  # fmt: skip

CLEAN = "#0072B2"  # blue: clean samples
BAD = "#D55E00"  # vermilion: corrupted samples
ITLM = "#009E73"  # green: ITLM
BASELINE = "#7F7F7F"  # grey: training on all samples
ORACLE = "#000000"  # thin dashed line: training on the clean samples only
OTHER = ("#CC79A7", "#E69F00", "#56B4E9", "#F0E442")  # further methods, in this order


def style() -> None:
    """Draw all further figures in the book's style: readable on a phone, opaque in dark mode.

    Notebooks get SVG figures, which are sharp at every size and have the same bytes at every run.
    """
    if "IPython" in sys.modules:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg", metadata={"Date": None})
    mpl.rcParams.update(
        {
            "figure.figsize": (6.0, 3.8),
            "savefig.dpi": 130,
            "svg.hashsalt": "itlm",
            "svg.fonttype": "none",  # text, not paths: searchable, a fifth of the bytes
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "font.size": 12,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E6E6E6",
            "axes.axisbelow": True,
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": mpl.cycler(color=[ITLM, CLEAN, BAD, *OTHER]),
        }
    )


def label_ends(ax, *, gap: float = 0.06) -> None:
    """Write each line's label at the end of the line, in the line's colour, without overlaps.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Lines whose label begins with an underscore get none. Labels of lines that end outside are at the border.
    gap : float
        Smallest distance between two labels, as a fraction of the axes' height.
    """
    ax.get_xlim(), ax.get_ylim()  # these calls fix the limits, which the transform needs
    to_axes = ax.transData + ax.transAxes.inverted()
    ends = []
    for line in ax.get_lines():
        if not line.get_label().startswith("_"):
            drawn = line.get_xydata()
            drawn = drawn[np.isfinite(drawn).all(axis=1)]
            if not len(drawn):
                continue
            x, y = drawn[-1]
            ends.append([to_axes.transform((x, y))[1], y, x, line])
    ends.sort(key=lambda end: end[0])
    places, top = [], 1.0
    for height, *_ in ends:  # move labels up until they do not touch, but keep them inside the axes
        places.append(max(min(max(height, 0.0), 1.0), places[-1] + gap if places else 0.0))
    for i in reversed(range(len(places))):
        places[i] = min(places[i], top)
        top = places[i] - gap
    for (_, y, x, line), place in zip(ends, places, strict=True):
        ax.annotate(
            line.get_label(),
            xy=(x, y),
            xytext=(1.02, place),
            textcoords="axes fraction",
            color=line.get_color(),
            va="center",
            annotation_clip=False,
        )


def band(ax, table, **line) -> None:
    """Draw the mean over seeds as a line, and the range from the smallest to the largest value as a band.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each point of the horizontal axis, a column for each seed, as from `itlm.records.by_round`. An empty
        table draws nothing.
    line
        Arguments of ``ax.plot``; ``color`` is required.
    """
    if table.empty:
        return
    ax.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=line["color"], alpha=0.15, lw=0)
    ax.plot(table.index, table.mean(axis=1), **line)


def interval(ax, found, at, *, across: bool = False, color, ms: float = 7) -> None:
    """Draw values, one a seed: the mean with its interval, or the values themselves if they are few.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    found : itlm.verdicts.Interval
        The values.
    at : float
        Place on the other axis.
    across : bool
        Whether the values lie along the horizontal axis.
    color, ms
        Colour, and size of the mark in points.
    """
    swap = (lambda a, b: (a, b)) if across else (lambda a, b: (b, a))
    if found.is_few:
        ax.plot(*swap(found.values, [at] * found.n), "o", color=color, ms=0.7 * ms, mfc="none")
    else:
        error = {"xerr" if across else "yerr": found.half_width}
        ax.errorbar(*swap(found.mean, at), **error, fmt="o", color=color, ms=ms, capsize=4)


def log_ticks(axis) -> None:
    """Label 1, 2 and 5 of each decade on a logarithmic axis such as ``ax.yaxis``, as plain numbers."""
    axis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(mpl.ticker.NullFormatter())


def image_grid(images, captions=None, *, columns: int = 8, width: float = 6.0):
    """Draw images in rows, each with a short caption, and return the figure.

    Parameters
    ----------
    images : array, shape (n, height, width) or (n, height, width, 3)
        Grey images in any range, or colour images in 0..255 (uint8) or [0, 1].
    captions : sequence of str, optional
        One caption for each image.
    columns, width : int, float
        Images in a row, and width of the figure in inches.
    """
    rows = -(-len(images) // columns)
    tall = 1.25 if captions is not None else 1.0
    fig, axes = plt.subplots(rows, columns, figsize=(width, width / columns * rows * tall), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for i, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.imshow(image, cmap="gray", interpolation="none")  # show the pixels unsmoothed
        if captions is not None:
            ax.set_title(captions[i], fontsize=10, loc="center", pad=2)
    return fig


def mosaics(groups: dict, *, columns: int = 8):
    """Return HTML that shows each group of images as a mosaic, side by side if the page is wide enough.

    Parameters
    ----------
    groups : dict of array, shape (n, height, width) or (n, height, width, 3), uint8
        Images by title; n must be a multiple of ``columns``, the number of images in a row.
    """
    from IPython.display import HTML
    from PIL import Image

    cards = []
    for title, images in groups.items():
        _, height, width, *colour = images.shape
        rows = images.reshape(-1, columns, height, width, *colour).swapaxes(1, 2)
        buffer = io.BytesIO()
        Image.fromarray(rows.reshape(-1, columns * width, *colour)).save(buffer, "webp", quality=80, method=6)
        data, told = base64.b64encode(buffer.getvalue()).decode(), html.escape(title)
        cards.append(
            f'<figure style="margin:0"><figcaption>{told}</figcaption><img src="data:image/webp;base64,{data}" '
            f'alt="{told}: {len(images)} images" style="width:100%;image-rendering:pixelated"></figure>'
        )
    grid = "display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:1rem;max-width:46rem"
    return HTML(f'<div style="{grid}">{"".join(cards)}</div>')


def stepper(figures: Iterable, captions: Iterable[str]):
    """Return HTML that shows figures one at a time, with buttons and a slider to step through them.

    The HTML needs no other file, so that the figure works in Jupyter, on Colab, on a phone and without a network.
    Without JavaScript only the last figure is shown.

    Parameters
    ----------
    figures : iterable of matplotlib.figure.Figure
        Figures, which are drawn one after another and closed.
    captions : iterable of str
        One line of plain text for each figure.
    """
    from IPython.display import HTML

    frames = []
    for figure, caption in zip(figures, captions, strict=True):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="webp", pil_kwargs={"quality": 70, "method": 6})
        plt.close(figure)
        frames.append((base64.b64encode(buffer.getvalue()).decode(), html.escape(caption)))
    # The name is unique but the same at every run, so that re-running an unchanged notebook changes nothing.
    name = "stepper-" + uuid.uuid5(uuid.NAMESPACE_OID, "".join(data for data, _ in frames)).hex[:8]
    last = len(frames) - 1
    pictures = "\n".join(
        f'<figure{"" if i == last else " hidden"}><img src="data:image/webp;base64,{data}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for i, (data, caption) in enumerate(frames)
    )
    return HTML(f"""<div class="stepper" id="{name}">
<style>
.stepper {{max-width: 46rem; margin: 1rem auto; font-family: sans-serif}}
.stepper figure {{margin: 0; background: #fff; color: #222; border-radius: .4rem; padding: .4rem}}
.stepper figure[hidden] {{display: none}}
.stepper img {{width: 100%; height: auto; display: block; filter: none !important; background: #fff}}
.stepper figcaption {{min-height: 3em; margin: .2rem .4rem; font-size: .95rem; color: #222}}
.stepper nav {{display: flex; gap: .5rem; align-items: center; margin-top: .5rem}}
.stepper button {{font: inherit; padding: .4rem .9rem; min-height: 2.6rem; cursor: pointer}}
.stepper input {{flex: 1; min-width: 4rem}}
</style>
{pictures}
<nav hidden><button type="button" aria-label="one step back">&#9664;</button>
<input type="range" min="0" max="{last}" value="0" aria-label="step">
<button type="button" aria-label="one step on">&#9654;</button></nav>
<script>
(() => {{
  const root = document.getElementById("{name}");
  const frames = root.querySelectorAll("figure");
  const slider = root.querySelector("input");
  const show = i => {{
    slider.value = Math.max(0, Math.min({last}, i));
    frames.forEach((frame, j) => frame.hidden = j !== +slider.value);
  }};
  const [back, on] = root.querySelectorAll("button");
  back.onclick = () => show(+slider.value - 1);
  on.onclick = () => show(+slider.value + 1);
  slider.oninput = () => show(+slider.value);
  root.querySelector("nav").hidden = false;
  show(0);
}})();
</script></div>""")
