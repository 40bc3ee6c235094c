"""Draw the landing page's picture, book/itlm.png: a fit to everything, and what trimming makes of it."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from itlm import iterate
from itlm.figures import BAD, BASELINE, CLEAN, ITLM, style

style()
random = np.random.default_rng(0)
x = random.uniform(-2, 2, 120)
y = 1 + 2 * x + 0.4 * random.standard_normal(120)
is_bad = np.arange(120) < 36
y[is_bad] = random.uniform(4, 11, 36)
X = np.column_stack([np.ones(120), x])


def fit(kept):
    """Least squares on the kept samples."""
    return np.linalg.lstsq(X[kept], y[kept])[0]


rounds = iterate(lambda theta: (y - X @ theta) ** 2, lambda _, kept, t: fit(kept), fit(x < 9), 0.65, 20)
history = [step for step in rounds if step.t == 0 or step.changed]
titles = ["Fit everything", "Keep what fits\nbest, fit again", "Repeat until\nit settles"]
fig, axes = plt.subplots(1, 3, figsize=(8, 3.4), sharey=True)
for ax, title, step in zip(axes, titles, (history[0], history[1], history[-1]), strict=True):
    for truth, colour in ((~is_bad, CLEAN), (is_bad, BAD)):
        for part, face in ((step.kept, colour), (~step.kept, "none")):
            ax.scatter(x[truth & part], y[truth & part], s=22, edgecolor=colour, facecolor=face, linewidth=1)
    ax.plot([-2, 2], history[0].theta @ [[1, 1], [-2, 2]], color=BASELINE, lw=2)
    ax.plot([-2, 2], step.theta @ [[1, 1], [-2, 2]], color=ITLM if step.t else BASELINE, lw=3)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=15)
    ax.grid(False)
fig.savefig(Path(__file__).resolve().parents[1] / "book" / "itlm.png", dpi=150, metadata={"Software": None})
