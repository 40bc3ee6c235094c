# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How sensitive it is
#
# **Not in the paper, apart from two columns of Table 1** {cite:p}`shen2019`. Three things that a user cannot choose:
# how well the fraction of right labels is known, whether some classes are rare, and whether errors fall where a person
# would make them. Digits, 3,000 of them, the network and steps of {doc}`Table 1 <labels>`.
#
# At the end of this page you will have seen what an $\alpha$ on the wrong side of the truth costs, when to ask for
# `balanced`, and for which errors this method is weak.

# %% tags=["skip-execution", "hide-cell"]
# Colab only: installs the library this page imports.
# %pip install -q "itlm[torch,notebooks] @ git+https://github.com/itlm-companion/itlm"

# %% tags=["parameters"]
seed: int = 0  # seed of the look-alikes that are shown, at least 0

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML

from itlm import figures, parameters, verdicts
from itlm.deep import corruption, images
from itlm.experiments import labels
from itlm.figures import BASELINE, CLEAN, ITLM, ORACLE
from itlm.records import results, series

figures.style()
chosen = parameters.check(globals(), seed=parameters.whole(meaning="seed of the look-alikes that are shown"))
recorded = results("labels.runs"), results("labels")


def values_of(metric, at="last", **fields):
    """Values by seed at the paper's size."""
    return series(recorded, labels.Config(scale="cpu", **fields).resolved(), metric, at)


# %% [markdown]
# ## When alpha is wrong
#
# In practice nobody knows the fraction of right labels. Here it is 60 %, with systematic errors, and $\alpha$ goes from
# 20 points too low to 10 too high.

# %% tags=["hide-input"]
base = {"noise": "systematic", "clean": 0.6}
alphas = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
accuracy, pure = (
    pd.DataFrame({alpha: values_of(metric, alpha=alpha, **base) for alpha in alphas}).dropna()  # seeds that all have
    for metric in ("test_accuracy", "precision")
)
seeds = accuracy.index
by_alpha = pd.DataFrame({
    "accuracy": accuracy.mean(),
    "pure": pure.mean(),
})  # fmt: skip
levels = {"baseline": (values_of("test_accuracy", 0, **base)[seeds].mean(), BASELINE),
          "oracle": (values_of("test_accuracy", method="oracle", **base)[seeds].mean(), ORACLE)}  # fmt: skip

fig, ax = plt.subplots()
for alpha in alphas:
    figures.interval(ax, verdicts.interval(accuracy[alpha]), alpha, color=ITLM)
ax.plot(by_alpha.index, by_alpha.accuracy, color=ITLM, label="ITLM")
ax.plot(by_alpha.index, by_alpha.pure, "s--", color=CLEAN, ms=5, label="right labels\namong those kept")
for name, (level, colour) in levels.items():
    ax.plot(by_alpha.index, [level] * len(by_alpha), color=colour, lw=1.5, ls="--", label=name)
ax.axvline(0.6, color=BASELINE, lw=1, ls=":")
ax.set(xlabel="alpha", ylabel="%")
figures.label_ends(ax, gap=0.1)
plt.show()

# %% [markdown]
# *Digits, systematic errors, the same seeds at every $\alpha$. Green: test accuracy of ITLM's last round, with 95 %
# intervals where there are more than two seeds. Blue: the share of right labels among the samples kept. Dotted: the
# true fraction of right labels; dashed: training on everything (grey) and on the clean samples alone (black).*

# %% tags=["hide-input"]
best = by_alpha.accuracy.idxmax()
print(f"{len(seeds)} seeds; best at alpha = {best:g}: {by_alpha.accuracy[best]:.1f} %")
for alpha in alphas:
    if alpha != 0.55:
        found = verdicts.evidence(accuracy[0.55], accuracy[alpha])
        print(f"alpha = {alpha:g}, against 0.55: {found} points")
worst = (by_alpha.accuracy - levels["baseline"][0]).min()
print(
    f"The lowest mean of them lies {abs(worst):.1f} points {'above' if worst > 0 else 'below'} training on everything."
)

# %% [markdown]
# *The printed differences are paired by seed, and so narrower than the bars.* Read: from five points below the truth to
# five above, these seeds show no difference. Farther off costs accuracy on either side: below, right labels are thrown
# out; above, wrong ones are kept.

# %% [markdown]
# ## Rare classes
#
# Random errors, 60 % right labels, and sevens, eights and nines ten times rarer than the other digits. A rare class may
# have larger losses for that alone. `balanced=True` keeps the same fraction of every given class.

# %% tags=["hide-input"]
rare, way = {"noise": "random", "clean": 0.6, "imbalance": 10.0}, {"plain": False, "within each class": True}
KEPT = {
    "recall_rare": "right labels of rare classes kept (%)",
    "recall": "of all classes kept (%)",
    "precision": "right labels among those kept (%)",
}
ACCURACY = {"accuracy_rare": "accuracy on rare classes (%)", "test_accuracy": "accuracy (%)"}
cells = []
for name, balanced in way.items():
    cell = {"trimming": name}
    for metric, title in (KEPT | ACCURACY).items():
        found = values_of(metric, balanced=balanced, **rare)
        cell[title] = str(verdicts.interval(found))
    cells.append(cell | {"n": len(found)})
first = {"trimming": "none (the baseline)", "n": len(values_of("accuracy_rare", 0, **rare))}
for metric, title in ACCURACY.items():
    first[title] = str(verdicts.interval(values_of(metric, 0, **rare)))
HTML(pd.DataFrame([*cells, first]).to_html(index=False, border=0, na_rep=""))

# %% [markdown]
# *Means over the seeds with 95 % intervals; rare are the digits 7, 8 and 9. Errors drift in
# from the common classes, so that most labels of a rare class are wrong here.*

# %% tags=["hide-input"]
recalls = {}
for name, balanced in way.items():
    found = [values_of("recall_rare", t, balanced=balanced, **rare) for t in range(6)]
    recalls[name] = pd.DataFrame([list(values) for values in found])
fig, ax = plt.subplots()
for (name, table), colour in zip(recalls.items(), (ITLM, figures.OTHER[0]), strict=True):
    figures.band(ax, table, color=colour, label=name.replace(" each", "\neach"), marker="o")
ax.set(xlabel="round", ylabel="right labels of rare classes kept (%)")
figures.label_ends(ax, gap=0.12)
plt.show()

# %% [markdown]
# *How many of the rightly labelled sevens, eights and nines are kept, by round. Lines: means over the seeds; bands:
# smallest and largest.*
#
# ## Errors that look right
#
# People do not err at random: they mistake a four for a nine when it looks like one. Here each
# class has one that is most like it, and those of its images that look most like that other class (near its mean, far
# from their own) get its label. Are such wrong labels *easy*? Systematic errors, which also send a class to one other,
# are the fair comparison: what differs is which images are wrong, and which class goes to which.

# %% tags=["hide-input"]
digits = images.load("mnist5k")
alike = corruption.confusable_labels(digits.train_y, digits.train_x, 0.9, 10)
random = np.random.default_rng(seed)
shown = random.choice(np.flatnonzero(alike.is_bad), 16, replace=False)
figures.image_grid(digits.train_x[shown], [f"{digits.train_y[i]} as {alike.labels[i]}" for i in shown], columns=8)
plt.show()

# %% [markdown]
# *Sixteen of the images that are mislabelled when one in ten is: "4 as 9" is a four, labelled nine.*

# %% tags=["hide-input"]
kinds, gains = [], {}
for share in (0.8, 0.6):
    for noise in ("random", "systematic", "confusable"):
        setting = {"noise": noise, "clean": share}
        first, last = values_of("test_accuracy", 0, **setting), values_of("test_accuracy", **setting)
        if not len(last):
            continue
        gains[noise, share] = found = verdicts.evidence(first, last)
        kinds.append({
            "errors": noise, "clean": f"{100 * share:.0f} %", "n": found.n,
            "baseline (%)": str(verdicts.interval(first)), "ITLM (%)": str(verdicts.interval(last)),
            "gain": str(found),
            "oracle (%)": str(verdicts.interval(values_of("test_accuracy", method="oracle", **setting))),
            "right labels among those kept (%)": str(verdicts.interval(values_of("precision", **setting))),
            "AUC of the loss (%)": str(verdicts.interval(values_of("auc", 0, **setting))),
        })  # fmt: skip
HTML(pd.DataFrame(kinds).to_html(index=False, border=0))

# %% [markdown]
# *Errors that depend on the image (confusable) beside others, as many of each. The AUC is that of Round 0: the chance
# that a bad sample has the larger loss; 50 % is chance, and below it bad samples are the easier ones. Intervals are of
# 95 % over n seeds.*

# %% tags=["hide-input"]
for share in (0.8, 0.6):
    one, other = (values_of("auc", 0, noise=noise, clean=share) for noise in ("systematic", "confusable"))
    both = one.index.intersection(other.index)
    if len(both):
        found = verdicts.evidence(one[both], other[both])
        clear = found.difference.excludes(0)
        said = ("easier", "harder")[int(found.difference.mean > 0)] if clear else "not clearly easier or harder"
        print(f"{100 * share:.0f} % clean: AUC of confusable against systematic errors\n"
              f"  {found} points ({found.n} seeds): {said}")  # fmt: skip

# %% [markdown]
# So errors that look right are easier than others where they are few, but harder than clean samples all the same: the
# order does not turn round here, and trimming finds some of them. Where one label in five is wrong, that helps. Where
# two in five are, it helps a great deal against systematic errors. With confusable ones five seeds show no gain, and
# leave open one or a loss of a few points: too many errors are left among those kept.
#
# ## What remains open
#
# * Quotas within classes presume that the given classes are about as often wrong as each other.
# * How to choose $\alpha$, and how to see that errors are easy rather than hard, when nobody knows the truth. The paper
#   says that cross-validation finds the best $\alpha$, and does not show it; with wrong labels in the held-out part
#   that is not obvious. What can be done by looking: {doc}`your own data <own_data>`.

# %% tags=["hide-input"]
plain, quota = (values_of("recall_rare", balanced=balanced, **rare) for balanced in (False, True))
both = plain.index.intersection(quota.index)
if len(both):
    assert plain[both].mean() < quota[both].mean(), "quotas do not help the rare classes, against the figure above"
    print(
        f"Rare classes: {verdicts.evidence(plain[both], quota[both])} points of recall from quotas ({len(both)} seeds)."
    )
hard = [values_of("auc", 0, noise=noise, clean=0.8).mean() for noise in ("systematic", "confusable")]
assert not hard[1] >= hard[0], "errors that depend on the image are not the easier ones"
assert not hard[1] <= 50, "errors that depend on the image are easier than clean samples, against the text"
few, many, plain = (gains[kind] for kind in (("confusable", 0.8), ("confusable", 0.6), ("systematic", 0.6)))
assert verdicts.holds(few) == "yes", "trimming does not help against few confusable errors"
assert verdicts.holds(many) == "undecided", "with many confusable errors trimming does make a difference"
assert plain.difference.mean > 10, "trimming does not help a great deal against systematic errors"
print(f"AUC of the loss, 80 % right labels: systematic {hard[0]:.0f} %, confusable {hard[1]:.0f} %.")
