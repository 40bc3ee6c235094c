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
# # Label noise on digits
#
# **What was tested.** The MNIST half of the paper's Table 1 {cite:p}`shen2019`: 3,000 digits, part of their labels
# wrong, at random or systematically. ITLM never learns which. It is compared with training on everything and with an
# oracle that trains on the clean labels only.
#
# **What came out.** The paper does not print the number of epochs. With the authors' recipe and epochs calibrated on
# the baseline and the oracle, not on ITLM, the printed numbers are near ours; a table below counts those within 2
# points. Only the first seeds of that recipe are recorded so far. With a better-trained network ITLM gains less.
#
# **What to do with it.** Trim if labels are wrong systematically, or if most are wrong. If few are wrong, expect
# little.

# %% tags=["skip-execution", "hide-cell"]
# Colab only: installs the library this page imports.
# %pip install -q "itlm[torch,notebooks] @ git+https://github.com/itlm-companion/itlm"

# %% tags=["parameters"]
scale: str = "demo"  # data and budget: demo, cpu, paper or authors
dataset: str = None  # image set: mnist5k, mnist or fashion_mnist; None: set by the scale
noise: str = "systematic"  # kind of label noise: systematic, random or confusable
clean: float = 0.6  # fraction of clean samples (alpha* in the paper), in [0, 1]
alpha: float = None  # fraction kept (alpha in Algorithm 1), in (0, 1]; None: five points below clean
fraction: str = "given"  # source of the fraction kept: given or estimated
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
    """Train on everything; return the losses of all samples after every epoch."""
    seen, s = [], labels.settings(replace(this, bounded=bounded, choose="last"), given)
    look = lambda network, step: seen.append(sgd.sample_losses(network, given.x, given.y).numpy(force=True))
    schedule, seed = s.schedule(0, this.n), sgd.derived_seed(this.seed, 0)
    sgd.fit(s.make_network, given.x, given.y, None, schedule, seed=seed, watch=look)
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
# ## Table 1 on MNIST, with the authors' recipe
#
# The paper's schedule is in an appendix that is not available. The authors' public code gives all of it but the number
# of epochs: pixels in [0, 1], initial weights from N(0, 0.02²), plain SGD with batches of 1,000 and a step size of 0.5,
# divided by 5 after 60 % of the steps, and as many sample visits in every fit.
#
# We found the epochs from two columns of the table alone, the baseline and the oracle, at seeds that no result uses.
# They were frozen before any trimmed round was run with this recipe.

# %% tags=["hide-input"]
recorded = results("labels.runs"), results("labels")
paper = results("paper/table1")
calibration = labels.calibration(recorded, paper)
epochs = calibration.distance.idxmin()
assert epochs == labels.SCALES["authors"]["epochs"], "the scale has other epochs than the calibration found"
fig, ax = plt.subplots()
for name, colour in (("baseline", BASELINE), ("oracle", ORACLE), ("distance", ITLM)):
    label = "both" if name == "distance" else name
    ax.plot(calibration.index, calibration[name], "o-", color=colour, lw=2 if label == "both" else 1, label=label)
ax.axvline(epochs, color=ITLM, lw=1, ls=":")
ax.set(xlabel="epochs", ylabel="distance to the printed numbers (points)", ylim=(0, None))
figures.label_ends(ax, gap=0.1)
plt.show()

# %% [markdown]
# *Root mean square distance between our means and the printed numbers, over the eight settings of the table. Dotted:
# the epochs with the smallest distance for both columns together, which the scale `authors` uses.*

# %% tags=["hide-input"]
COLUMNS = {
    "baseline": ("itlm", 0, 0.05, "baseline"),
    "1 step": ("itlm", 1, 0.05, "one_step"),
    "ITLM": ("itlm", "last", 0.05, "itlm"),
    "oracle": ("oracle", "last", 0.05, "oracle"),
    "centroid": ("centroid", "last", 0.05, "centroid"),
    "ITLM, alpha* - 10": ("itlm", "last", 0.10, "delta_alpha_10"),
    "ITLM, alpha* - 15": ("itlm", "last", 0.15, "delta_alpha_15"),
}
mnist = paper[paper.dataset == "mnist5"]


def table_1(recipe):
    """Return the values of Table 1 by setting and column, one value a seed."""
    found = {}
    for row in mnist.itertuples():
        for name, (way, at, less, _) in COLUMNS.items():
            share = row.clean_percent / 100
            fields = {"noise": row.noise, "clean": share, "alpha": round(share - less, 2), "method": way}
            setting = labels.Config(scale=recipe, **fields).resolved()
            found[row.noise, row.clean_percent, name] = series(recorded, setting, "test_accuracy", at)
    return found


def gain_of(found, noise, percent):
    """Return ITLM's gain over the baseline in a setting, paired by seed, or None."""
    first, last = found[noise, percent, "baseline"], found[noise, percent, "ITLM"]
    both = first.index.intersection(last.index)
    return verdicts.evidence(first[both], last[both]) if len(both) else None


theirs, ours = table_1("authors"), table_1("cpu")
fig, axes = plt.subplots(2, 1, figsize=(6, 6), sharex=True)
for ax, noise in zip(axes, ("systematic", "random"), strict=True):
    rows = mnist[mnist.noise == noise].sort_values("clean_percent")
    for height, row in enumerate(rows.itertuples()):
        for name, colour, shift in (("baseline", BASELINE, 0.22), ("ITLM", ITLM, 0), ("oracle", ORACLE, -0.22)):
            ax.plot(getattr(row, name.lower()), height + shift, "D", color=colour, mfc="none", ms=6)
            if len(values := theirs[noise, row.clean_percent, name]):
                figures.interval(ax, verdicts.interval(values), height + shift, across=True, color=colour, ms=5)
    ax.set(yticks=range(len(rows)), yticklabels=[f"{p} %" for p in rows.clean_percent], ylabel="clean labels")
    ax.set_title(f"{noise} label noise")
axes[-1].set_xlabel("test accuracy (%)")
plt.show()

# %% [markdown]
# *Table 1 on MNIST: the printed number (diamond) and ours (dot, with its 95 % interval) for the baseline (grey), ITLM
# (green) and the oracle (black). Where dot and diamond meet, the number reproduces.*

# %% tags=["hide-input", "full-width"]
cells, judged = [], []
for row in mnist.itertuples():
    cell = {"noise": row.noise, "clean": f"{row.clean_percent} %"}
    for name, (*_, printed) in COLUMNS.items():
        values = theirs[row.noise, row.clean_percent, name]
        cell[name] = f"{getattr(row, printed):.1f} | " + str(verdicts.interval(values))
    gain = gain_of(theirs, row.noise, row.clean_percent)
    cell["gain"] = str(gain) if gain else "not run"
    cell["ITLM is better"] = verdicts.holds(gain)
    judged.append((f"{row.noise} {row.clean_percent} %", cell["ITLM is better"]))
    cells.append(cell)
HTML(pd.DataFrame(cells).to_html(index=False, classes="sortable", border=0))

# %% [markdown]
# *Test accuracy in percent, "paper | ours ± 95 % interval"; fewer than four seeds are listed one by one. "Gain": ITLM
# minus the baseline, in points, paired by seed. "ITLM is better": by the rule of {doc}`the scorecard <scorecard>`. The
# caption claims it for all settings; the printed numbers do not show it for random noise at 70 and 90 %. The paper's
# 93.9 for one step at random 30 % is most likely a misprint.*

# %% tags=["hide-input"]
agree = {}
for name in COLUMNS:
    printed = mnist.set_index(["noise", "clean_percent"])[COLUMNS[name][3]]
    gaps = [abs(theirs[*key, name].mean() - number) for key, number in printed.items() if len(theirs[*key, name])]
    agree[name] = {"settings": len(gaps), "within 2 points": sum(gap <= verdicts.CLOSE for gap in gaps),
                   "mean |ours - paper| (points)": f"{np.mean(gaps):.1f}" if gaps else ""}  # fmt: skip
pd.DataFrame(agree).T

# %% [markdown]
# *How far our numbers are from the paper's, column by column.*

# %% tags=["hide-input"]
against = [f"{setting} ({answer})" for setting, answer in judged if answer in ("no", "undecided")]
print("ITLM is not better, or undecided:", ", ".join(against) if against else "none of what was run")

# %% [markdown]
# ## A better-trained network gains less
#
# We first ran the table with a schedule of our own: standardised pixels, torch's initial weights, batches of 100 and a
# constant step size, 20 epochs. It was taken over from one trial, which showed the trimmed rounds too, and was not
# tuned after that. Its baselines are better than the authors', so less is left to gain.

# %% tags=["hide-input"]
fig, ax = plt.subplots()
for found, name, colour in ((theirs, "authors' recipe", ITLM), (ours, "our schedule", figures.OTHER[0])):
    for mark, noise in (("o", "systematic"), ("s", "random")):
        points = [
            (found[noise, percent, "baseline"].mean(), gain.difference.mean)
            for percent in sorted(mnist[mnist.noise == noise].clean_percent)
            if (gain := gain_of(found, noise, percent))
        ]
        if points:
            ax.plot(*zip(*points, strict=True), mark, color=colour, label=f"{name}, {noise}")
ax.axhline(0, color=BASELINE, lw=1, ls="--")
ax.set(xlabel="test accuracy of training on everything (%)", ylabel="ITLM's gain (points)")
ax.legend()
plt.show()

# %% [markdown]
# *ITLM's gain against the accuracy that it starts from, one mark for each setting of Table 1. The better plain training
# does, the less trimming adds.*

# %% tags=["hide-input", "full-width"]
rows = []
for row in mnist.itertuples():
    key = row.noise, row.clean_percent
    cell = {"noise": row.noise, "clean": f"{row.clean_percent} %"}
    cell |= {name: str(verdicts.interval(ours[*key, name])) for name in COLUMNS}
    gain = gain_of(ours, *key)
    rows.append(cell | {"gain": str(gain) if gain else "not run", "ITLM is better": verdicts.holds(gain)})
HTML(pd.DataFrame(rows).to_html(index=False, classes="sortable", border=0))

# %% [markdown]
# *The same table with our schedule: test accuracy in percent, mean ± 95 % interval over the seeds.*

# %% [markdown]
# With few wrong labels, training on everything comes close to the oracle. Little is left to gain, and keeping five
# points less than is clean costs clean samples.
#
# ## What the gain depends on
#
# The authors' code passes the logits through tanh, which the paper does not mention. The cross-entropy is then bounded,
# so no sample can dominate. Is that why trimming works so well here? We changed one factor of our schedule at a time,
# with systematic noise and 60 % clean labels:

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
