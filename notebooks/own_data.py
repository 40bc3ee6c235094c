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
# # Your own data
#
# Your data have wrong labels, wrong values or foreign images, and nobody tells which. This page says which tool to use,
# and **when to use none**: trimming helps if wrong samples are harder to fit than clean ones, and if their share is
# known or can be estimated. If it fails, the last table shows by how much.
#
# Not in the paper {cite:p}`shen2019`.
#
# | you have | use | you get |
# |---|---|---|
# | a table, CSV or Parquet | {doc}`the command <audit>` `python -m itlm.audit` | a report, and a cleaned table |
# | a folder of images | {doc}`the same command <own_images>` | a report, and the list of images to keep |
# | a training loop of your own | {doc}`a Recorder <own_network>` in it | a report after the last epoch |
# | a network to train on what trimming keeps | {doc}`iterate <own_network>` and two functions | Algorithm 1, exactly |
# | a model of scikit-learn | `TrimmedEstimator`, below | a fitted model, `inlier_mask_` |
# | a linear regression | {doc}`TrimmedRegressor <regressors>` | least trimmed squares |

# %% tags=["skip-execution", "hide-cell"]
# Colab only: installs the library this page imports.
# %pip install -q "itlm[torch,notebooks] @ git+https://github.com/itlm-companion/itlm"

# %% tags=["parameters"]
errors: float = 0.3  # fraction of the labels that this page corrupts, in [0.05, 0.45]
seed: int = 0  # seed of the errors and the split, at least 0

# %% tags=["hide-input"]
import os
import tempfile

import pandas as pd
from IPython.display import HTML

from itlm import parameters, verdicts
from itlm.experiments import backdoor, labels
from itlm.records import results, series

os.chdir(tempfile.mkdtemp())
chosen = parameters.check(
    globals(),
    errors=parameters.real(0.05, 0.45, meaning="fraction of the labels that this page corrupts"),
    seed=parameters.whole(meaning="seed of the errors and the split"),
)

# %% [markdown]
# ## A model of scikit-learn
#
# Wrap it. `"auto"` estimates from planted errors {doc}`how much is wrong <alpha>`, with an upper bound, and drops as
# much as the bound. The digits of scikit-learn stand in for your data; some labels are one too high.

# %%
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from itlm.audit import plant, systematic
from itlm.audit.report import Report
from itlm.estimators import TrimmedEstimator

pixels, digits = load_digits(return_X_y=True)
split = {"test_size": 500, "stratify": digits, "random_state": seed}
X, X_test, truth, y_test = train_test_split(pixels / 16, digits, **split)
y = plant(X, truth, systematic(10), round(errors * len(truth)), random_state=seed).y

plain = LogisticRegression(max_iter=1000).fit(X, y)
model = TrimmedEstimator(LogisticRegression(max_iter=1000), "auto", random_state=seed).fit(X, y)
print(f"share of wrong labels: {model.error_share_}")
print(f"test accuracy: {100 * plain.score(X_test, y_test):.1f} %, trimmed {100 * model.score(X_test, y_test):.1f} %")

# %% [markdown]
# **Look at what was dropped** before you trust it. A report ranks the samples, suggests labels, and warns. It estimates
# the share again, with more fits, so its number differs a little:

# %%
report = Report.from_estimator(model, X, y, seed=seed)
report.to_html("report.html")  # this page works in a temporary folder
report

# %% [markdown]
# How good such rankings are: {doc}`which labels are wrong? <suspects>`
#
# ## When not to use it
#
# Four cases, with numbers from the record. The last column says what to do instead.

# %% tags=["hide-input", "full-width"]
images, attacks = (results("labels.runs"), results("labels")), (results("backdoor.runs"), results("backdoor"))


def accuracy(at="last", metric="test_accuracy", **fields):
    """Return the recorded test accuracies on 3,000 MNIST digits, one a seed."""
    return series(images, labels.Config(scale="cpu", **fields).resolved(), metric, at)


def attacked(method):
    """Return the share of marked test images that the attack sends to the target class, one a seed."""
    fields = {"scale": "demo", "dataset": "mnist", "n": 10_000, "half": True, "mark": "patch", "share": 0.1}
    run = backdoor.Config(**fields, method=method, **({} if method == "naive" else {"alpha": 0.8})).resolved()
    return series(attacks, run, "attack", "last")


rare, few = {"noise": "random", "clean": 0.6, "imbalance": 10.0}, {"noise": "random", "clean": 0.9}
alike = {"noise": "confusable", "clean": 0.6}
CASES = {
    "rare classes, trimmed without quotas (accuracy on these)": (
        accuracy(0, "accuracy_rare", **rare), accuracy("last", "accuracy_rare", **rare),
                                             "trim within each class, the default of TrimmedEstimator"),
    "few errors: one label in ten": (accuracy(0, **few), accuracy(**few), "look at the first suspects, drop by hand"),
    "errors that look right: the label that the image resembles": (accuracy(0, **alike), accuracy(**alike),
                                                                  "more labels for the samples that are doubtful"),
    "a strong backdoor: a mark on a tenth of the images (attack success)": (
        attacked("naive"), attacked("itlm"), "low loss or spectral signatures; look at the easiest samples"),
}  # fmt: skip
rows, gains = [], {}
for case, (before, after, instead) in CASES.items():
    gains[case] = gain = verdicts.evidence(before, after)
    rows.append({"case": case, "trained on everything (%)": str(gain.before), "ITLM (%)": str(gain.after),
                 "difference (points)": str(gain), "n": gain.n, "instead": instead})  # fmt: skip
HTML(pd.DataFrame(rows).to_html(index=False, border=0))

# %% [markdown]
# *Test accuracy on MNIST digits, and for the backdoor the share of marked test images that the attack controls; mean ±
# 95 % interval over n seeds.* Details: {doc}`rare classes and errors that look right <sensitivity>`,
# {doc}`few errors <labels>`, {doc}`backdoors <premise>`.
#
# Three more cases have no number here:
#
# * **Errors outnumber clean samples**, in all or within a class. Then trimming keeps the errors.
# * **The model memorises everything.** If no sample has a loss, trimming cannot tell samples apart. `TrimmedEstimator`
#   warns. Regularise the model, or stop its training early.
# * **You need every hard sample.** Trimming drops the hardest clean samples too.
#
# ## What remains open
#
# * The bound on the share of wrong samples holds only for errors like the planted ones.
# * No tool here says whether a wrong label matters for your task.

# %% tags=["hide-input"]
changed = {name: value for name, value in chosen.items() if value != {"errors": 0.3, "seed": 0}[name]}
if changed:
    print(f"Changed from the preset: {changed}. Nothing is claimed of it.")
else:
    assert model.score(X_test, y_test) > plain.score(X_test, y_test), "trimming did not help"
    assert (y != truth)[report.order[:200]].mean() > 0.95, "the first suspects are not wrong"
    first, second, *_ = gains.values()
    assert first.difference.mean < 0, "rare classes are not lost"
    print("As claimed: trimming helps here, the first suspects are wrong, and rare classes are lost without quotas.")
