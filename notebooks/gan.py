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
# # GANs from mixed data
#
# **Claims: Table 3, Figure 3, Figure 1(c)** {cite:p}`shen2019`. A DC-GAN {cite:p}`radford2015` is trained on
# images of which some do not belong: digits with articles of clothing among them, faces with objects. Nobody
# says which. Its discriminator learns what a real image looks like, and finds the foreign ones less real.
# Drop those, train anew, repeat: after five rounds, the paper says, the kept images are clean (100 % of them
# at 80 % clean digits) and the generated ones look it.
#
# At the end of this page you will have watched that happen, and know what it hangs on. Two details decide it,
# which the paper does not mention: **whether the discriminator has batch norm, and when it scores**.

# %% tags=["skip-execution", "hide-cell"]
# Colab only: installs the library this page imports.
# %pip install -q "itlm[torch,notebooks] @ git+https://github.com/itlm-companion/itlm"

# %% tags=["parameters"]
scale: str = "demo"  # data and budget: demo, cpu or paper
pair: str = None  # clean and bad set: mnist5k-textures, mnist-fashion_mnist or celeba-cifar10; None: set by the scale
clean: float = 0.7  # fraction of clean images (alpha* in the paper), in (0, 1]
alpha: float = None  # fraction kept (alpha in Algorithm 1), in (0, 1]; None: five points below clean
method: str = "itlm"  # selection rule: itlm, oracle, mean, pca or autoencoder
loss: str = "dcgan"  # loss of the GAN: dcgan, hinge, least_squares or wgan_gp
normalisation: str = None  # normalisation of the discriminator: none or batch; None: set by the pair
statistics: str = "real"  # statistics that batch norm scores with: real, running or batch
score_at: float = None  # fraction of a fit after which the discriminator scores, in (0, 1]; None: set by the pair
reinitialise: bool = True  # whether each round starts from new weights
trace: bool = False  # whether to record the first fit epoch by epoch in place of rounds
seed: int = 0  # seed of the images, the weights, the batches and the latent vectors, at least 0
n: int = None  # training images, in [100, 200000]; None: set by the scale
size: int = None  # side of the images, 28, 32 or 64 pixels, in [28, 64]; None: set by the pair
width: int = None  # channels of the largest feature map, in [1, 512]; None: set by the scale
epochs: float = None  # epochs over all n images in each fit, in (0, 1000]; None: set by the scale
rounds: int = None  # updates (T in Algorithm 1), in [0, 50]; None: set by the scale
batch: int = None  # real images a step, in [2, 10000]; None: set by the scale

# %% tags=["hide-input"]
import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, display

from itlm import figures, trim, verdicts
from itlm.deep.gan import images, latents
from itlm.experiments import gan
from itlm.experiments.measures import selection
from itlm.figures import BAD, BASELINE, CLEAN, ITLM
from itlm.records import CHOOSING, arrays, results, series
from itlm.rivals.images import HEURISTICS

figures.style()
config = gan.Config.from_notebook(globals())
this = config.resolved()

# %% [markdown]
# ## The mixture, and the rounds
#
# Each round trains a generator and a discriminator on the kept images, from new weights, with the same number
# of steps however many images are kept. Then the discriminator's loss on *real* images, $-\log D(x)$, sorts
# all of them, kept or not. It is low where an image looks real to the discriminator.

# %%
given = gan.task(config)
print(f"{this.pair}: {this.n} images, {100 * given.rate:.1f} % of them bad, alpha {this.alpha}. {given.notice}")
began = time.perf_counter()
history = []
for step in gan.rounds(config, given):
    history.append((step, gan.measure(step, given, config)))
    print(f"Round {step.t}: {history[-1][1]['precision']:.1f} % of the kept images are clean, "
          f"{history[-1][1]['bad_looking']:.0f} % of the generated ones look bad")  # fmt: skip
table = pd.DataFrame([numbers for _, numbers in history]).rename_axis("round")

# %% tags=["hide-input"]
chosen = np.random.default_rng(0).permutation(this.n)[:16]
pixels = ((given.x[chosen].permute(0, 2, 3, 1).cpu().numpy() + 1) / 2).squeeze()
fig = figures.image_grid(pixels, ["bad" if given.is_bad[i] else "clean" for i in chosen])
for ax, i in zip(fig.axes, chosen, strict=True):
    ax.title.set_color(BAD if given.is_bad[i] else CLEAN)
plt.show()

# %% [markdown]
# *Some of the training images, with the truth that only this page knows.*
#
# ## What the generator makes of it (Figure 3)
#
# The same 32 latent vectors in every round. Round 0 has seen everything.

# %% tags=["hide-input"]
first = "baseline: trained on everything" if this.method == "itlm" else this.method
shown = {(first if t == 0 else f"round {t}"): t for t in (0, 1, 3, 5) if t < len(history)}
figures.mosaics({title: images(history[t][0].theta, latents()) for title, t in shown.items()})

# %% [markdown]
# *Images generated from the same 32 latent vectors, by round.*

# %% tags=["hide-input"]
fig, ax = plt.subplots()
ax.plot(table.index, table.precision, "o-", color=CLEAN, label="precision")
ax.plot(table.index, table.recall, "s-", color=ITLM, label="recall")
ax.plot(table.index, table.bad_looking, "^-", color=BAD, label="generated,\nbad-looking")
ax.axhline(100 * (1 - given.rate), color=BASELINE, ls="--", lw=1)
ax.annotate("precision by chance", (0, 100 * (1 - given.rate)), (0, -12), textcoords="offset points", color=BASELINE)
ax.set(xlabel="round", ylabel="%", xticks=table.index, ylim=(-3, 103))
figures.label_ends(ax, gap=0.1)
plt.show()

# %% [markdown]
# *Precision: the share of clean images among those kept. Recall: the share of the clean images that was kept.
# Vermilion: of 2,000 generated images, those that a classifier, trained on held-out images of both sets, takes
# for the bad set. It can rise although all kept images are clean: a generator that has failed draws neither set, and
# the classifier must call its images one or the other.*

# %%
table[["precision", "recall", "auc", "bad_looking", "frechet", "visits"]].round(1).astype({"visits": int})

# %% [markdown]
# *The AUC is the chance that a bad image has a larger loss than a clean one. The Fréchet distance compares
# generated images with held-out clean ones, in the classifier's features: smaller is closer.*
#
# ## Simple rules in its place
#
# The paper says that simple heuristics fail, and does not name them. We try the distance to the mean image,
# what is left after 20 principal components, the error of a small autoencoder, and the first discriminator
# alone.

# %%
flat = given.x.flatten(1)
rules = {"first discriminator": table.precision[0], "ITLM, last round": table.precision.iloc[-1]}
for name, score in HEURISTICS.items():
    scores = score(flat, this.seed)
    kept = trim(scores, this.alpha)
    rules[name] = selection(kept.cpu().numpy(), scores.cpu().numpy(), given.is_bad)["precision"]
pd.Series(rules, name="precision of the kept images (%)").sort_values().round(1).to_frame()

# %% [markdown]
# *Share of clean images among those kept, rule by rule, at the same alpha. A simple rule keeps what is simple:
# smooth patches of a photograph are nearer to the mean image, and easier to rebuild, than digits.*
#
# ## Table 3, recorded
#
# Both pairs on CPUs, 32 x 32 pixels for faces: fewer images and a narrower network than the paper can have used (it
# states neither), so that no cell can be called *reproduced*. The paper's "ratio of clean samples recovered" cannot be
# recall: five points fewer images are kept than are clean. It reads as precision, and is compared as that. Its
# first column, iter-1, is the selection of our Round 0.

# %% tags=["hide-input", "full-width"]
recorded = results("gan.runs"), results("gan")
paper = results("paper/table3").set_index(["pair", "clean_percent"])
rows = []
for (name, percent), printed in paper.iterrows():
    setting = gan.Config(scale="cpu", pair=name, clean=percent / 100).resolved()
    values = {t: series(recorded, setting, "precision", t) for t in range(6)}
    row = {"pair": name, "clean": f"{percent} %"}
    for t in range(5):
        said = str(verdicts.interval(values[t]))
        row[f"iter-{t + 1}"] = f"{printed[f'iter_{t + 1}']:.1f} | {said}"
    row["after the last update"] = str(verdicts.interval(values[5])) if len(values[5]) else ""
    row["n"] = len(values[0])
    seeds = values[0].index.intersection(values[4].index)
    found = verdicts.evidence(values[0][seeds], values[4][seeds]) if len(seeds) else None
    row["rises"] = verdicts.holds(found)
    rows.append(row)
HTML(pd.DataFrame(rows).to_html(index=False, classes="sortable", border=0))

# %% [markdown]
# *Precision of the kept images in percent, "paper | ours ± 95 % interval" over n seeds. "Rises": from iter-1 to iter-5,
# by the rule of {doc}`the scorecard <scorecard>`.*

# %% tags=["hide-input", "full-width"]
rows = []
for name, percent in paper.index:
    pick = partial(series, recorded, gan.Config(scale="cpu", pair=name, clean=percent / 100).resolved())
    if len(pick("precision", 0)):
        rise = verdicts.evidence(pick("precision", 0), pick("precision", 5))
        looks = verdicts.evidence(pick("bad_looking", 0), pick("bad_looking", 5))
        rows.append({"pair": name, "clean": f"{percent} %",
                     "precision, Round 0 to 5": f"{rise.before.mean:.1f} → {rise.after.mean:.1f}",
                     "rise (points)": str(rise),
                     "recall, Round 5": str(verdicts.interval(pick("recall", 5))),
                     "bad-looking, Round 0 to 5 (%)": f"{looks.before.mean:.1f} → {looks.after.mean:.1f}",
                     "Fréchet, Round 0 to 5": f"{pick('frechet', 0).mean():.1f} → {pick('frechet', 5).mean():.1f}",
                     "judge's accuracy (%)": f"{pick('judge_accuracy', 0).mean():.1f}", "n": rise.n})  # fmt: skip
HTML(pd.DataFrame(rows).to_html(index=False, classes="sortable", border=0))

# %% [markdown]
# *The selection, and what the generated images are worth, at the first and the last round. The judge's accuracy, on
# held-out images, says how well it judges real images; of badly drawn ones it says less.*
#
# And to look at (Figure 3): the same latent vectors in a recorded run of each pair, at the shares of the paper's
# figure.

# %% tags=["hide-input"]
for name, share in (("mnist-fashion_mnist", 0.8), ("celeba-cifar10", 0.7)):
    kept = arrays("gan", gan.Config(scale="cpu", pair=name, clean=share).resolved())
    titles = {"round_0": "baseline", "round_1": "round 1", "round_3": "round 3", "round_5": "round 5"}
    chosen = {f"{name}, {100 * share:.0f} % clean: {titles[t]}": pictures[:16] for t, pictures in kept.items()}
    if chosen:
        display(figures.mosaics(chosen))

# %% [markdown]
# *Generated images of the recorded runs with seed 0. So few hardly show what the table counts, least of all for digits,
# where foreign ones are rare from the start. Look at how well the images are formed, which stays poor.*
#
# The paper's precision starts lower than ours, often near chance, and has further to climb. Ours climbs less, since our
# first discriminator ranks well already: for digits it has no batch norm; for faces it has, but scores after a few
# steps, as in the run at the top of this page. The next section shows what batch norm does otherwise.
#
# ## What decides it: batch norm, and when one looks
#
# The usual DC-GAN discriminator has batch norm. After a few passes it ranks the images *worse than chance*:
# trimming by it would throw out the digits. Our suspicion fell on the running statistics, which mix real and
# generated batches, so that no scored image is shifted as it was in training. So we scored the same
# discriminators in three ways: with the running statistics, with statistics taken anew from real images, and
# with those of each scored batch.

# %% tags=["hide-input"]
ways = {
    "none": {"normalisation": "none"},
    "batch norm,\nreal statistics": {"normalisation": "batch", "statistics": "real"},
    "batch norm,\nrunning": {"normalisation": "batch", "statistics": "running"},
    "batch norm,\nper batch": {"normalisation": "batch", "statistics": "batch"},
}
study = recorded[0][recorded[0].trace & (recorded[0].status == "ok") & (recorded[0].pair == "mnist-fashion_mnist")]
study = study[study.seed < CHOOSING]  # without the seed at which the normalisation was chosen
fig, ax = plt.subplots(figsize=(6, 4.2))
for (name, fields), colour in zip(ways.items(), (ITLM, CLEAN, BAD, figures.OTHER[0]), strict=True):
    mine = study[np.logical_and.reduce([study[field] == value for field, value in fields.items()])]
    curves = recorded[1][recorded[1].key.isin(mine.key) & (recorded[1].metric == "auc_by_epoch")]
    by_epoch = curves.groupby("round").value
    mean, low, high = by_epoch.mean(), by_epoch.min(), by_epoch.max()
    ax.fill_between(mean.index, low, high, color=colour, alpha=0.15, lw=0)
    ax.plot(mean.index, mean, "o-", ms=4, color=colour, label=name)
ax.axhline(50, color=BASELINE, lw=1, ls="--")
ax.set(xlabel="passes over the data", ylabel="AUC of the discriminator's loss (%)")
figures.label_ends(ax, gap=0.13)
plt.show()

# %% [markdown]
# *Chance that a Fashion-MNIST image has a larger loss than an MNIST one, as the first discriminator trains on
# the mixture (70 % digits). Lines: means; bands: smallest and largest, over the study's seeds. Below the dashed
# line, trimming throws out the digits.*
#
# The suspicion was wrong, as far as this first fit goes: whatever the statistics, the three curves are nearly one.
# (Over whole runs of five rounds they may yet differ; that is not recorded.) What matters is batch norm at all, and the
# moment. With it the discriminator ranks well in its first passes and turns against the digits later; without it the
# ranking stays good for longer, on these images. Nor has it learnt its training images by heart: scored with fixed
# statistics, it gives unseen digits nearly the same losses as those it has seen (50 %: no difference). Scored batch by
# batch that cannot be asked, since seen and unseen digits do not share their batches:

# %% tags=["hide-input"]
print("AUC of unseen against seen digits, over all passes and seeds:")
for name, fields in ways.items():
    mine = study[np.logical_and.reduce([study[field] == value for field, value in fields.items()])]
    unseen = recorded[1][recorded[1].key.isin(mine.key) & (recorded[1].metric == "auc_unseen")].value
    print(f"  {' '.join(name.split())}: {unseen.min():.0f} to {unseen.max():.0f} %")
traced = recorded[1][recorded[1].key.isin(study[study.normalisation == "none"].key)]
fig, ax = plt.subplots()
for metric, colour, name in (("real_clean", CLEAN, "MNIST"), ("real_bad", BAD, "Fashion-\nMNIST")):
    by_epoch = traced[traced.metric == metric].groupby("round").value
    ax.fill_between(by_epoch.mean().index, by_epoch.min(), by_epoch.max(), color=colour, alpha=0.15, lw=0)
    ax.plot(by_epoch.mean().index, by_epoch.mean(), "o-", ms=4, color=colour, label=name)
ax.set(xlabel="passes over the data", ylabel="real images taken for real (%)", ylim=(-3, 103))
figures.label_ends(ax, gap=0.14)
plt.show()

# %% [markdown]
# *Figure 1(c), for the discriminator without normalisation: how many of the clean and of the bad training
# images it takes for real, pass by pass. Lines: means; bands: smallest and largest over the seeds.*
#
# ## Early or late
#
# So the moment of scoring is a setting, `score_at`. Over whole runs of five rounds, whose fits have four passes each (a
# quarter is pass 1 of the figures above, the end is pass 4):

# %% tags=["hide-input"]
moments = {
    "none, scored at the end": {"normalisation": "none", "score_at": 1.0},
    "none, at a quarter": {"normalisation": "none", "score_at": 0.25},
    "batch norm, at a tenth": {"normalisation": "batch", "score_at": 0.1},
    "at a quarter": {"normalisation": "batch", "score_at": 0.25},
    "at half": {"normalisation": "batch", "score_at": 0.5},
    "at the end": {"normalisation": "batch", "score_at": 1.0},
}
fig, ax = plt.subplots(figsize=(6, 4.2))
for i, ((name, fields), colour) in enumerate(zip(moments.items(), (ITLM, CLEAN, BAD, *figures.OTHER), strict=False)):
    setting = gan.Config(scale="cpu", pair="mnist-fashion_mnist", clean=0.7, **fields).resolved()
    by_round = [series(recorded, setting, "precision", t) for t in range(6)]
    if len(by_round[0]):
        ax.plot([v.mean() for v in by_round], "s--" if i > 1 else "o-", ms=4, color=colour, label=name)
printed = paper.loc[("mnist-fashion_mnist", 70)]
ax.plot([printed[f"iter_{t + 1}"] for t in range(5)], ":", color=figures.ORACLE, label="the paper")
ax.axhline(70, color=BASELINE, lw=1, ls="--")
ax.set(xlabel="round", ylabel="clean among the kept (%)")
figures.label_ends(ax, gap=0.08)
plt.show()

# %% [markdown]
# *Precision by round, MNIST at 70 % clean, means over the recorded seeds; solid: no normalisation, dashed: batch
# norm, dotted: the paper's column. The grey line is chance.*
#
# Scored at the end, a discriminator with batch norm begins at chance and rises a little. Scored at a quarter of the fit
# it begins, at 70 % clean, near where the paper begins, and ends where the paper ends. With batch norm the middle is
# best: a quarter or half of the fit does better than a tenth or the end. Without it early looks worse, but three seeds
# do not decide that.

# %% tags=["hide-input"]
rows, last, said = [], {}, {0.1: "at a tenth", 0.25: "at a quarter", 0.5: "at half", 1.0: "at the end"}
for percent, norm, at in ((80, "batch", 0.25), *((70, m["normalisation"], m["score_at"]) for m in moments.values())):
    fields = {"clean": percent / 100, "normalisation": norm, "score_at": at}
    pick = partial(series, recorded, gan.Config(scale="cpu", pair="mnist-fashion_mnist", **fields).resolved())
    if len(pick("precision", 5)):
        rise = verdicts.evidence(pick("precision", 0), pick("precision", 5))
        looks = verdicts.evidence(pick("bad_looking", 0), pick("bad_looking", 5))
        printed = paper.loc[("mnist-fashion_mnist", percent)]
        if percent == 70:
            last[norm, at] = pick("precision", 5)
        rows.append({"clean": f"{percent} %", "norm": norm, "scored": said[at],
                     "paper, iter-1 to 5": f"{printed.iter_1:.1f} → {printed.iter_5:.1f}",
                     "ours, Round 0 to 5": f"{rise.before.mean:.1f} → {rise.after.mean:.1f}",
                     "rise (points)": str(rise),
                     "bad-looking, Round 0 to 5 (%)": f"{looks.before.mean:.1f} → {looks.after.mean:.1f}",
                     "n": rise.n})  # fmt: skip
HTML(pd.DataFrame(rows).to_html(index=False, border=0))

# %% [markdown]
# *Precision of the kept images, by the discriminator's norm and by when it scores. Below, its differences in Round 5,
# paired by seed.*

# %% tags=["hide-input"]
for norm, one, other in (("batch", 0.1, 0.5), ("batch", 1.0, 0.5), ("batch", 0.25, 0.5), ("none", 0.25, 1.0)):
    both = last[norm, one].index.intersection(last[norm, other].index)
    found = verdicts.evidence(last[norm, one][both], last[norm, other][both])
    print(f"{norm}: {said[other]} rather than {said[one]}: {found} points ({found.n} seeds)")

# %% [markdown]
# Whether that is what the paper did, it does not say. We kept to the setting that we had chosen by Round 0 alone for
# the tables above: choosing by what trimming gains would be choosing by the result.
#
# For faces and textures the setting was chosen by the next table, the AUC of Round 0 alone, at seeds that no result
# uses. For MNIST and Fashion-MNIST it was chosen on one such seed of the study above; their rows came later, and show
# that half of the fit would have been a better moment than its end. Such a choice takes the truth about which images
# are bad: who has none must look at the images that would be dropped.

# %% tags=["hide-input", "full-width"]
runs = recorded[0][(recorded[0].seed >= CHOOSING) & (recorded[0]["rounds"] == 0) & ~recorded[0].trace]
runs = runs[runs.statistics == "real"]
first = recorded[1][(recorded[1].metric == "auc") & (recorded[1]["round"] == 0)].merge(runs, on="key")
first = first.rename(columns={"normalisation": "discriminator's norm"})
first["step"] = (first.score_at * first.epochs * first.n / first.batch).round().astype(int)
study = first.pivot_table(index=["pair", "discriminator's norm"], columns="step", values="value")
study.columns = [f"step {step}" for step in study.columns]
study = study.map(lambda value: "" if np.isnan(value) else f"{value:.0f}")
HTML(study.reset_index().to_html(index=False, border=0))

# %% [markdown]
# *AUC of Round 0 in percent, by the number of steps after which the discriminator scores: means over up to five seeds,
# 70 % clean; empty where it was not run. At 50 the discriminator knows nothing; below it, trimming throws out the clean
# images.*
#
# The rule: take batch norm or none, whichever ranks better in Round 0. Score at the end of the fit if the ranking is
# good there, as the paper's text reads. If not, score at the best moment, or at a later one that is within a point of
# it. Faces are hardest. Their discriminator ranks best after *nine steps*, when it can have learnt little more than
# colours and contrasts, and from then on it gets worse. So there the method works, but hardly for the reason the paper
# gives.
#
# ## Where the printed Round 0 may come from
#
# The paper's column begins lower than ours: 77.8 % of the images kept by its first discriminator are digits, at 70 %
# clean. Our discriminator without batch norm begins far higher. Which plain choice begins where the paper does? We
# varied the epochs, batch norm, and the statistics that batch norm scores with, and looked at Round 0 alone, at seeds
# that no result uses.

# %% tags=["hide-input"]
PRINTED = paper.loc[("mnist-fashion_mnist", 70)]
runs = recorded[0][(recorded[0].seed >= CHOOSING) & (recorded[0]["rounds"] == 0) & (recorded[0].score_at == 1)]
runs = runs[(runs.pair == "mnist-fashion_mnist") & (runs.scale == "cpu") & ~runs.trace & (runs.status == "ok")]
first = recorded[1][(recorded[1].metric == "precision") & (recorded[1]["round"] == 0)].merge(runs, on="key")
begins = first.groupby(["normalisation", "statistics", "epochs"]).value.agg(["mean", "min", "max", "size"])
NAMES = {
    ("none", "real"): ("no batch norm", ITLM),
    ("batch", "running"): ("batch norm,\nrunning statistics", BAD),
    ("batch", "real"): ("batch norm,\nstatistics of\nreal images", CLEAN),
}
fig, ax = plt.subplots()
for kind, (name, colour) in NAMES.items():
    if kind in begins.index:
        mine = begins.loc[kind]
        ax.fill_between(mine.index, mine["min"], mine["max"], color=colour, alpha=0.15, lw=0)
        ax.plot(mine.index, mine["mean"], "o-", color=colour, ms=4, label=name)
ax.axhline(PRINTED.iter_1, color=figures.ORACLE, lw=1, ls=":")
ax.annotate("printed", (0.5, PRINTED.iter_1), (0, 3), textcoords="offset points")
ax.axhline(70, color=BASELINE, lw=1, ls="--")
ax.set(xscale="log", xlabel="epochs of the first GAN", ylabel="clean among the kept (%)")
ax.set(xticks=[0.5, 1, 2, 4, 8], xticklabels=["0.5", "1", "2", "4", "8"])
ax.minorticks_off()
figures.label_ends(ax, gap=0.13)
plt.show()

# %% [markdown]
# *Precision of the images that the first discriminator keeps, MNIST at 70 % clean, scored at the end of the fit. Lines:
# means; bands: smallest and largest over the seeds. Dashed: chance. Dotted: the printed number.*

# %% tags=["hide-input", "full-width"]
nearest = (begins["mean"] - PRINTED.iter_1).abs().idxmin()
norm, statistics, epochs = nearest
assert nearest == ("batch", "real", 0.5), "sweeps/table3_nearest.yaml and the scorecard have another setting"
named = " ".join(NAMES[norm, statistics][0].split())
print(f"Nearest to the printed {PRINTED.iter_1:.1f} %: {named}, {epochs:g} epochs ({begins['mean'][nearest]:.1f} %).")
chosen = {"normalisation": norm, "statistics": statistics, "epochs": epochs, "score_at": 1.0}
rows = []
for percent in (90, 80, 70):
    printed = paper.loc[("mnist-fashion_mnist", percent)]
    for name, fields in (("ours", {}), ("nearest in Round 0", chosen)):
        setting = gan.Config(scale="cpu", clean=percent / 100, **fields).resolved()
        values = [series(recorded, setting, "precision", t) for t in range(6)]
        both = values[0].index.intersection(values[4].index)
        found = verdicts.evidence(values[0][both], values[4][both]) if len(both) else None
        row = {"clean": f"{percent} %", "setting": name, "n": len(both)}
        row |= {f"iter-{t + 1}": f"{printed[f'iter_{t + 1}']:.1f} | {verdicts.interval(values[t])}" for t in range(5)}
        rows.append(row | {"rise (points)": str(found) if found else "not run", "rises": verdicts.holds(found)})
HTML(pd.DataFrame(rows).to_html(index=False, border=0))

# %% [markdown]
# *Table 3 on MNIST twice: with our setting, and with the one nearest to the printed Round 0. "Paper | ours ± 95 %
# interval". Our setting is the one that ranks the images best in Round 0; the other was chosen to begin where the paper
# begins. Neither was chosen by a trimmed round.*
#
# What do more epochs, or keeping the weights from round to round, do?

# %% tags=["hide-input"]
fig, axes = plt.subplots(4, 1, figsize=(6, 11), sharex=True, sharey=True)
kinds = [("none", True), ("none", False), ("batch", True), ("batch", False)]
shades = dict(zip((0.5, 1.0, 2.0, 4.0), (figures.OTHER[2], CLEAN, ITLM, figures.ORACLE), strict=True))
for ax, (norm, anew) in zip(axes, kinds, strict=True):
    for epochs, colour in shades.items():
        fields = {"normalisation": norm, "reinitialise": anew, "epochs": epochs, "score_at": 1.0}
        setting = gan.Config(scale="cpu", clean=0.7, **fields).resolved()
        by_round = [series(recorded, setting, "precision", t) for t in range(6)]
        if len(by_round[0]):
            ax.plot([v.mean() for v in by_round], "o-", ms=4, color=colour, label=f"{epochs:g} epochs")
    ax.plot([PRINTED[f"iter_{t + 1}"] for t in range(5)], ":", color=BASELINE, label="the paper")
    ax.set_title(f"{'batch norm' if norm == 'batch' else 'no batch norm'}, {'new weights' if anew else 'weights kept'}")
    ax.set_ylabel("clean among the kept (%)")
    figures.label_ends(ax, gap=0.1)
axes[-1].set_xlabel("round")
plt.show()

# %% [markdown]
# *Precision by round at 70 % clean, scored at the end of each fit, means over the recorded seeds; settings without a
# line are not recorded yet. The step size is constant, so a longer fit continues a shorter one.*
#
# ## A misjudged alpha

# %% tags=["hide-input"]
points = []
for share in (0.55, 0.6, 0.65, 0.7, 0.75, 0.8):
    setting = gan.Config(scale="cpu", clean=0.7, alpha=share).resolved()
    first, end, recall = (
        series(recorded, setting, m, t) for m, t in (("precision", 0), ("precision", 5), ("recall", 5))
    )
    if len(end):
        points.append((100 * share - 70, end.mean(), end.min(), end.max(), recall.mean()))
points = np.array(points).reshape(-1, 5)
fig, ax = plt.subplots()
ax.fill_between(points[:, 0], points[:, 2], points[:, 3], color=CLEAN, alpha=0.15, lw=0)
ax.plot(points[:, 0], points[:, 1], "o-", color=CLEAN, label="precision")
ax.plot(points[:, 0], points[:, 4], "s-", color=ITLM, label="recall")
ax.axhline(70, color=BASELINE, ls="--", lw=1)
ax.set(xlabel="alpha above the clean share (points)", ylabel="last round (%)")
figures.label_ends(ax)
plt.show()

# %% [markdown]
# *The selection of the last round at 70 % clean, by how far alpha is off. Dashed: precision by chance. Right of zero,
# some bad images are kept by necessity. Left of it precision does not suffer, in line with the paper's remark that the
# method is not sensitive to alpha, and clean images are lost. Whether precision still rises over the rounds there,
# {doc}`the scorecard <scorecard>` leaves undecided.*
#
# ## What did not reproduce, and what remains open

# %% tags=["hide-input"]
where = "GPU" if given.x.is_cuda else "CPU"
print(
    f"This page ran {this.pair} at scale {scale!r} on a {where}: n = {this.n}, width {this.width}, "
    f"{this.epochs:g} epochs a round, {time.perf_counter() - began:.0f} s since the first round began."
)

# %% [markdown]
# * The paper's sizes and schedule for its GANs are not known, and no GPU was available: 64 x 64 faces were not run.
# * *Why* batch norm turns the ranking round is open. It is not the statistics one scores with. Nor is there one rule
#   for all images: for digits with clothing a discriminator without batch norm ranks better at nearly every moment, for
#   faces and for textures one with it, and best at the very first steps. Look at what would be dropped at several
#   moments (`score_at`, `normalisation`).
# * At 80 % clean the paper's first discriminator is worse than chance, and the method recovers all the same. We have
#   not seen that: where ours began at chance it rose a little, and no more.
# * The generated images, digits too, are poor at this budget, with or without trimming: a few hundred steps at 32 x 32
#   pixels. What the judge says of them is to be read with that in mind.

# %% tags=["hide-input"]
changed = {name: value for name, value in config.changed().items() if name != "seed"}
if changed:
    print(f"Changed from the preset: {changed}. Nothing is claimed of it.")
else:
    assert table.precision.iloc[-1] > 100 * (1 - given.rate) + 5, "the selection is hardly better than chance"
    by_chance = 100 * (1 - given.rate)
    print(f"As claimed: {table.precision.iloc[-1]:.0f} % of the kept images are clean, {by_chance:.0f} % by chance.")
