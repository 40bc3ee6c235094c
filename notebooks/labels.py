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
# # Wrong labels on digits
#
# **Claim: Table 1, the MNIST half** {cite:p}`shen2019`. Part of the training labels is wrong, at random or
# systematically; ITLM, which is never told which, beats training on everything, and comes near an oracle
# that knows. With 60 % right labels and systematic errors the paper prints 66.7 % test accuracy for
# training on everything, 85.0 % for ITLM and 92.4 % for the oracle.
#
# At the end of this page you will have run one such experiment, seen *which* samples are thrown out, and
# know how much of the table holds, and what the effect hangs on.

# %% tags=["skip-execution", "hide-cell"]
# Colab only: installs the library this page imports.
# %pip install -q "itlm[torch,notebooks] @ git+https://github.com/itlm-companion/itlm"

# %% tags=["parameters"]
scale: str = "demo"  # data and budget: demo, cpu, paper or authors
dataset: str = None  # image set: mnist5k, mnist or fashion_mnist; None: set by the scale
noise: str = "systematic"  # kind of label noise: systematic, random or confusable
clean: float = 0.6  # fraction of clean samples (alpha* in the paper), in [0, 1]
alpha: float = None  # fraction kept (alpha in Algorithm 1), in (0, 1]; None: five points below clean
method: str = "itlm"  # selection rule: itlm, oracle, centroid, gce, self_paced, co_teaching or confident
bounded: bool = True  # whether the logits pass through tanh, as in the authors' code
activation: str = "tanh"  # non-linearity of the network: tanh or relu
momentum: float = 0.0  # momentum of SGD, in [0, 0.999]
balanced: bool = False  # whether to trim within each given class, so that no class can vanish
choose: str = "last"  # epoch that gives a fit's network: last, noisy_test or noisy_validation
warm: bool = False  # whether each fit starts from the weights of the previous fit
equal: str = "steps"  # budget that all full fits share: steps or epochs
early: int = 0  # fits stopped early, the first included, in [0, 50]
early_epochs: float = 5.0  # epochs of an early fit, over its samples, in (0, 1000]
imbalance: float = 1.0  # samples of a common class per sample of a rare class, in [1, 100]
seed: int = 0  # seed of the subset, the errors, the weights and the batches, at least 0
n: int = None  # training images, in [100, 60000]; None: set by the scale
epochs: float = None  # epochs over all n images in each fit, in (0, 1000]; None: set by the scale
rounds: int = None  # updates (T in Algorithm 1), in [0, 50]; None: set by the scale
batch: int = None  # samples a gradient step, in [1, 10000]; None: set by the scale
lr: float = None  # learning rate of SGD, in (0, 10]; None: set by the scale
shape: str = None  # learning rate over a fit: constant, drop or one_cycle; None: set by the scale
partial: bool = None  # whether an epoch's last batch may be smaller than the others; None: set by the scale
pixels: str = None  # range of the pixels: standardised or unit; None: set by the scale
initial: str = None  # initial weights: torch or normal; None: set by the scale

# %% tags=["hide-input"]
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import HTML

from itlm import figures, trim, verdicts
from itlm.deep import training as sgd
from itlm.deep.networks import LeNet
from itlm.experiments import labels
from itlm.experiments.measures import selection
from itlm.figures import BAD, BASELINE, CLEAN, ITLM, ORACLE
from itlm.records import results, series

figures.style()
config = labels.Config.from_notebook(globals())
this = config.resolved()

# %% [markdown]
# ## The experiment
#
# The labels are spoilt once, and the network, the authors' two-layer CNN, sees only the spoilt ones. Each round trains
# it from new random weights by SGD (the paper's Algorithm 2): Round 0 on everything, the later rounds on what was kept.
# Every fit has the same number of gradient steps, however many samples it has.

# %%
given = labels.task(config)
print(
    f"{this.dataset}: {this.n} images, {100 * given.rate:.1f} % of the labels wrong ({this.noise}), alpha {this.alpha}"
)
began = time.perf_counter()
history = []
for step in labels.rounds(config, given):
    history.append((step, labels.measure(step, given, config)))
    print(f"Round {step.t}: test accuracy {history[-1][1]['test_accuracy']:.1f} %, "
          f"{history[-1][1]['precision']:.1f} % of the kept labels are right")  # fmt: skip
seconds = (time.perf_counter() - began) / len(history)

# %% [markdown]
# For comparison, two yardsticks with the same budget: the oracle, which is told the clean samples, and the
# centroid rule, which drops the images farthest, in pixels, from the mean image of their given class.

# %%
yardsticks = {}
for name in ("oracle", "centroid"):
    other = replace(config, method=name)
    (only,) = labels.rounds(other, given)
    yardsticks[name] = labels.measure(only, given, other)
table = pd.DataFrame([numbers for _, numbers in history]).rename_axis("round")
ours = ["baseline", *(f"after round {t}" for t in table.index[1:])] if this.method == "itlm" else [this.method]
everyone = pd.concat([table.set_axis(ours), pd.DataFrame(yardsticks).T])
everyone[["test_accuracy", "precision", "recall", "visits"]].round(1).astype({"visits": int})

# %% [markdown]
# *Accuracy on test images, precision and recall of the selection, in percent, and the sample visits of all
# fits so far: ITLM pays for its rounds. The selection is the one that the row's network makes, for the next round to
# train on; the baseline itself was trained on everything.*

# %% tags=["hide-input"]
fig, ax = plt.subplots()
ax.plot(table.index, table.test_accuracy, "o-", color=ITLM, label="ITLM" if this.method == "itlm" else this.method)
levels = [
    ("oracle", yardsticks["oracle"]["test_accuracy"], ORACLE),
    ("centroid", yardsticks["centroid"]["test_accuracy"], figures.OTHER[0]),
]
if this.method == "itlm":  # whose Round 0 is the baseline
    levels.append(("baseline", table.test_accuracy[0], BASELINE))
for name, level, colour in levels:
    if name != this.method:
        ax.plot([0, max(1, len(table) - 1)], [level, level], color=colour, lw=1.5, ls="--", label=name)
figures.label_ends(ax)
ax.set(xlabel="round", ylabel="test accuracy (%)", xticks=table.index)
plt.show()

# %% [markdown]
# *Test accuracy by round, between training on everything (grey) and the oracle (black, dashed).*

# %% tags=["hide-input"]
fig, ax = plt.subplots()
ax.plot(table.index, table.precision, "o-", color=CLEAN, label="precision")
ax.plot(table.index, table.recall, "s-", color=ITLM, label="recall")
ax.axhline(100 * (1 - given.rate), color=BASELINE, ls="--", lw=1)
ax.annotate(
    "precision by chance", (0, 100 * (1 - given.rate)), xytext=(0, 4), textcoords="offset points", color=BASELINE
)
figures.label_ends(ax)
ax.set(xlabel="round", ylabel="%", xticks=table.index)
plt.show()

# %% [markdown]
# *Precision: the share of right labels among the samples kept. Recall: the share of the right labels that
# was kept. Both rise together, since the number kept is fixed.*
#
# ## Are wrong labels harder?
#
# The paper's observation is that models learn good samples first. Here is plain training on everything,
# scored after every pass. The AUC is the chance that a wrong label has a larger loss than a right one:
# 50 % is chance. Beside the authors' network stands the same one *without* the tanh on its logits.


# %%
def watch(bounded):
    """Train on everything; the losses of all samples after every pass."""
    seen = []
    fit = sgd.Schedule(epochs=this.epochs, batch=this.batch, lr=this.lr, momentum=this.momentum)
    make = lambda: LeNet(activation=this.activation, bounded=bounded)
    look = lambda network, step: seen.append(sgd.sample_losses(network, given.x, given.y).numpy(force=True))
    sgd.fit(make, given.x, given.y, None, fit, seed=sgd.derived_seed(this.seed, 0), watch=look)
    return seen


everything = np.ones(this.n, bool)
seen = {name: watch(name == "bounded logits") for name in ("bounded logits", "plain logits")}
auc = {name: [selection(everything, loss, given.is_bad)["auc"] for loss in runs] for name, runs in seen.items()}

# %% tags=["hide-input"]
fig, ax = plt.subplots()
for (name, curve), colour in zip(auc.items(), (ITLM, figures.OTHER[0]), strict=True):
    ax.plot(range(1, len(curve) + 1), curve, "o-", color=colour, ms=4, label=name.replace(" ", "\n"))
ax.axhline(50, color=BASELINE, lw=1, ls="--")
ax.set(xlabel="passes over the data", ylabel="AUC of the loss (%)", ylim=(40, 100))
figures.label_ends(ax, gap=0.14)
plt.show()

# %% [markdown]
# *How well the loss of a plainly trained network tells wrong labels from right ones, pass by pass, one run. Neither
# fades. Plain logits rank rather better here: what tanh on the logits does for the later rounds (below) does not show
# in the first fit.*

# %% tags=["hide-input"]
runs = seen["bounded logits" if this.bounded else "plain logits"]
early = max(1, len(runs) // 5)
snapshots = {
    f"early: after {early} passes": runs[early - 1],
    f"late: after {len(runs)} passes": runs[-1],
    "ITLM's last round": history[-1][0].losses.numpy(force=True),
}
fig, axes = plt.subplots(len(snapshots), 1, figsize=(6, 6.6), sharex=True)
bins = np.linspace(0, max(loss.max() for loss in snapshots.values()), 60)
for ax, (title, loss) in zip(axes, snapshots.items(), strict=True):
    ax.hist(loss[~given.is_bad], bins, color=CLEAN, alpha=0.7, histtype="stepfilled", label="right label")
    ax.hist(loss[given.is_bad], bins, color=BAD, alpha=0.7, histtype="stepfilled", label="wrong label")
    score = selection(everything, loss, given.is_bad)["auc"]
    ax.set(title=f"{title} (AUC {score:.0f} %)", ylabel="samples")
axes[0].legend()
axes[-1].set_xlabel("loss (cross-entropy, nats)")
plt.show()

# %% [markdown]
# *Losses of samples with right (blue) and wrong (vermilion) labels. Trimming cuts at one loss and keeps
# what lies to the left.*
#
# ## What was thrown out
#
# The samples ranked worst in the last round, each with the label it came with:

# %% tags=["hide-input"]
worst = history[-1][0].losses.argsort(descending=True)[:24].cpu().numpy()
fig = figures.image_grid(given.images[worst], [str(int(given.y[i])) for i in worst], columns=8)
for ax, i in zip(fig.axes, worst, strict=True):
    ax.title.set_color(BAD if given.is_bad[i] else CLEAN)
plt.show()

# %% [markdown]
# *Above each digit its given label: vermilion where it is wrong indeed, blue where the method is mistaken.*
#
# ## What trimming itself costs
#
# Next to training, little: scoring all samples is one forward pass, selecting is one partition.


# %%
def milliseconds(call, repeats=5):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


network = history[-1][0].theta
with torch.no_grad():
    forward = milliseconds(lambda: [network(part) for part in given.x.split(500)])
scoring = milliseconds(lambda: sgd.sample_losses(network, given.x, given.y))
selecting = milliseconds(lambda: trim(history[-1][0].losses, this.alpha))
print(f"scoring takes {scoring / forward:.2f} times a bare forward pass, {scoring / 10 / seconds:.2f} % of a round;\n"
      f"selecting takes {selecting / 10 / seconds:.4f} % of a round")  # fmt: skip

# %% [markdown]
# ## Table 1 on MNIST
#
# The recorded runs at the paper's size: 3,000 training images, a fresh 5 % of MNIST for each seed, and the
# full 10,000 test images, on CPUs. The schedule is ours, since the paper's is in an appendix that is not
# available: plain SGD, step size 0.1, batches of 100, 20 epochs' worth of steps in every fit. It
# was taken over from a first trial at one seed, which showed the trimmed rounds as well as the baseline and the
# oracle, and was not tuned after that.

# %% tags=["hide-input", "full-width"]
recorded = results("labels.runs"), results("labels")
paper = results("paper/table1")
columns = {
    "baseline": ("itlm", 0, 0.05, "baseline"),
    "1 step": ("itlm", 1, 0.05, "one_step"),
    "ITLM": ("itlm", "last", 0.05, "itlm"),
    "oracle": ("oracle", "last", 0.05, "oracle"),
    "centroid": ("centroid", "last", 0.05, "centroid"),
    "ITLM, alpha* - 10": ("itlm", "last", 0.10, "delta_alpha_10"),
    "ITLM, alpha* - 15": ("itlm", "last", 0.15, "delta_alpha_15"),
}
cells, differences, judged = [], {name: [] for name in columns}, []
for row in paper[paper.dataset == "mnist5"].itertuples():
    share = row.clean_percent / 100
    cell = {"errors": row.noise, "clean": f"{row.clean_percent} %"}
    found = {}
    for name, (way, at, less, printed) in columns.items():
        setting = labels.Config(scale="cpu", noise=row.noise, clean=share, alpha=round(share - less, 2), method=way)
        values = series(recorded, setting.resolved(), "test_accuracy", at)
        found[name] = values
        cell[name] = f"{getattr(row, printed):.1f} | " + str(verdicts.interval(values))
        differences[name] += [abs(values.mean() - getattr(row, printed))] if len(values) else []
    both = found["baseline"].index.intersection(found["ITLM"].index)
    evidence = verdicts.evidence(found["baseline"][both], found["ITLM"][both]) if len(both) else None
    cell["n"] = len(both)
    cell["verdict"] = verdicts.verdict(evidence, row.baseline, row.itlm, paper_size=True, sense="rises")
    judged.append((row.noise, row.clean_percent, cell["verdict"]))
    cells.append(cell)
HTML(pd.DataFrame(cells).to_html(index=False, classes="sortable", border=0))

# %% [markdown]
# *Test accuracy in percent, "paper | ours ± 95 % interval" over n seeds. The verdict compares ITLM with the
# baseline, paired by seed, by the rule of {doc}`the scorecard <scorecard>`. The claim is the caption's: ITLM is
# better in all settings. (In the print it is not, for random errors at 70 and 90 %.) The paper's 93.9 for one step at
# random 30 % is most likely a misprint.*

# %% tags=["hide-input"]
pd.DataFrame(
    {name: [f"{np.mean(gaps):.1f}" if gaps else "", len(gaps)] for name, gaps in differences.items()},
    index=["mean |ours - paper|, points", "cells"],
)

# %% [markdown]
# *How far our numbers are from the paper's, column by column.*

# %% tags=["hide-input"]
against = [f"{noise} {percent} %" for noise, percent, said in judged if said in ("not reproduced", "undecided")]
print("Not reproduced, or undecided:", ", ".join(against) if against else "none of what was run")

# %% [markdown]
# Why there: with this network and few wrong labels, training on everything comes so near to the oracle that little is
# left to win, and keeping five points less than is clean costs right labels.
#
# ## What the effect hangs on
#
# The authors' code passes the logits through tanh, which the paper does not mention. The cross-entropy is
# then bounded: no sample can pull without limit. Is that why trimming works so well here? One factor at a
# time, systematic errors, 60 % right labels, recorded at five seeds:

# %% tags=["hide-input"]
variants = {
    "as above": {},
    "unbounded logits": {"bounded": False},
    "ReLU": {"activation": "relu"},
    "momentum 0.9": {"momentum": 0.9, "lr": 0.01},
    "10 epochs": {"epochs": 10.0},
    "40 epochs": {"epochs": 40.0},
    "ReLU, unbounded, momentum": {"activation": "relu", "bounded": False, "momentum": 0.9, "lr": 0.01},
}
ablation = []
for name, changes in variants.items():
    setting = labels.Config(scale="cpu", noise="systematic", clean=0.6, **changes)
    first, end = (series(recorded, setting.resolved(), "test_accuracy", at) for at in (0, "last"))
    if len(first):
        best = series(recorded, replace(setting, method="oracle").resolved(), "test_accuracy")
        pure = series(recorded, setting.resolved(), "precision").mean()
        ablation.append((name, verdicts.evidence(first, end), best.mean(), pure))

fig, ax = plt.subplots(figsize=(6, 0.6 + 0.75 * len(ablation)))
for height, (name, found, best, pure) in enumerate(reversed(ablation)):
    first, end = found.before.mean, found.after.mean
    ax.plot([first, end], [height, height], color=ITLM, lw=2)
    ax.plot(first, height, "o", color=BASELINE, ms=8)
    ax.errorbar(end, height, xerr=found.difference.half_width, fmt="o", color=ITLM, ms=8, capsize=4)
    ax.plot(best, height, "|", color=ORACLE, ms=16)
    told = f"{name}: {found}, {pure:.0f} % pure"
    ax.annotate(told, (first, height), (0, 9), textcoords="offset points", fontsize=11)
ax.set(yticks=[], ylim=(-0.5, len(ablation)), xlabel="test accuracy (%)")
plt.show()

# %% [markdown]
# *From training on everything (grey) to ITLM's last round (green, with the 95 % interval of the paired
# gain), and the oracle of the same variant (black bar). "Pure": the share of right labels among those kept at
# the end. One factor is changed in each row, all but the epochs in the last; with momentum the step size is a tenth,
# so that steps are as long in the end.*
#
# The tanh on the logits is what the gain hangs on most: without it the rounds clear out far fewer wrong labels.
# Why, these runs do not say. For ReLU, momentum and the number of epochs {doc}`five seeds decide nothing
# <open_questions>`. A modern recipe, ReLU with plain logits and momentum, has so little left that its interval includes
# zero. Oracles are alike throughout: it is not a matter of good and bad networks.
#
# ## The setting of this page, at five seeds

# %% tags=["hide-input"]
demo = labels.Config().resolved()
rows = {}
for name, (way, at) in {"baseline": ("itlm", 0), "1 step": ("itlm", 1), "ITLM": ("itlm", "last"),
                        "oracle": ("oracle", "last"), "centroid": ("centroid", "last")}.items():  # fmt: skip
    values = series(recorded, replace(demo, method=way), "test_accuracy", at)
    rows[name] = {"test accuracy (%)": str(verdicts.interval(values)), "n": len(values)}
first, end = (series(recorded, demo, "test_accuracy", at) for at in (0, "last"))
gain = verdicts.evidence(first, end)
print(f"demo scale, the last round's gain over Round 0: {gain} points ({gain.n} seeds)")
pd.DataFrame(rows).T

# %% [markdown]
# *Demo scale: mean and 95 % interval over five seeds.*
#
# ## What remains open
#
# * $\alpha$ was set from the true fraction of right labels, as in the paper. Nobody has that number.
#   An $\alpha$ above it is allowed here (`-p alpha 0.8`) and keeps wrong labels by necessity;
#   {doc}`how much that costs <sensitivity>` is recorded.
# * A class can vanish when its samples are all hard; `-p balanced True` trims within each class. And noise that depends
#   on the image is harder than either kind here. Both are on {doc}`the same page <sensitivity>`.
# * The other choices that the paper leaves open, one by one: {doc}`what the method needs <open_questions>`.

# %% tags=["hide-input"]
gains = {name: found.difference.mean for name, found, *_ in ablation}
if len(gains) == len(variants):
    assert min(gains, key=gains.get) == "ReLU, unbounded, momentum"
    assert min(list(gains)[:-1], key=gains.get) == "unbounded logits", "the text above says otherwise"
changed = {name: value for name, value in config.changed().items() if name != "seed"}
if changed:
    print(f"Changed from the preset: {changed}. Nothing is claimed of it.")
else:
    gained, purity = table.test_accuracy.iloc[-1] - table.test_accuracy.iloc[0], table.precision.iloc[-1]
    assert gained > 3, f"ITLM gained {gained:.1f} points over training on everything, less than 3"
    assert purity > 100 * (1 - given.rate) + 15, "the selection is hardly better than chance"
    print(f"As claimed: {gained:+.1f} points over training on everything, {purity:.0f} % of the kept labels right.")
