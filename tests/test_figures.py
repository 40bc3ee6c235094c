"""How the book draws: labels where the lines end, plain numbers on short logarithmic axes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from itlm import figures


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.mark.parametrize("ends", [[1, 1.01, 1.02], [0, 50, 100], [99, 99, 100, 1000], [-500, 0, 1]])
def test_labels_keep_apart_in_the_lines_order_and_inside_the_axes(ax, ends):
    for i, end in enumerate(ends):
        ax.plot([0, 1], [0, end], label=f"line {i}")
    ax.plot([0, 1], [0, 0], label="_unnamed")
    ax.set_ylim(0, 100)
    figures.label_ends(ax, gap=0.1)
    placed = [(text.get_text(), text.xyann[1]) for text in ax.texts]
    heights = [height for _, height in placed]
    assert [name for name, _ in placed] == [f"line {i}" for i in range(len(ends))]
    assert min(heights) >= 0 and max(heights) <= 1
    assert all(b - a >= 0.1 - 1e-9 for a, b in zip(heights, heights[1:], strict=False))


def test_a_line_with_room_has_its_label_where_it_ends(ax):
    ax.plot([0, 1], [0, 40], label="line")
    ax.set_ylim(0, 100)
    figures.label_ends(ax)
    assert ax.texts[0].xyann[1] == pytest.approx(0.4)


def test_a_line_that_ends_early_has_its_label_where_it_ends(ax):
    ax.plot([0, 1, 2], [0, 40, np.nan], label="short")
    ax.plot([0, 1, 2], [np.nan] * 3, label="nothing")
    ax.set_ylim(0, 100)
    figures.label_ends(ax)
    assert [(text.get_text(), text.xyann[1]) for text in ax.texts] == [("short", pytest.approx(0.4))]


def test_a_band_reaches_from_the_smallest_seed_to_the_largest_around_the_mean(ax):
    table = pd.DataFrame({0: [1.0, 2.0], 1: [3.0, 7.0]}, index=[5, 6])
    figures.band(ax, table, color=figures.CLEAN, label="clean")
    (line,), (band,) = ax.get_lines(), ax.collections
    assert line.get_xydata().tolist() == [[5, 2], [6, 4.5]] and line.get_label() == "clean"
    corners = {tuple(point) for point in band.get_paths()[0].vertices.tolist()}
    assert corners == {(5, 1), (5, 3), (6, 2), (6, 7)}
    figures.band(ax, table.iloc[:0], color=figures.BAD)
    assert len(ax.get_lines()) == 1


def test_a_short_logarithmic_axis_has_plain_numbers(ax):
    ax.plot([1, 2], [0.15, 0.9])
    ax.set_yscale("log")
    figures.log_ticks(ax.yaxis)
    ax.figure.canvas.draw()
    low, high = ax.get_ylim()
    shown = [text.get_text() for text in ax.get_yticklabels() if low <= text.get_position()[1] <= high]
    assert shown == ["0.2", "0.5"]
