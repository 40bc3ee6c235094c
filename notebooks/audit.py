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
# # A table of yours
#
# One command reads a table, says how many labels or values are wrong, ranks the rows, and writes a report and a cleaned
# table:
#
# ```bash
# python -m itlm.audit my.csv --target label --out report/
# ```
#
# This page is the same tool as a notebook. It is shown on a table of scikit-learn with planted errors, of which the
# command **finds most, and bounds their number**. For a table of yours:
#
# ```bash
# papermill notebooks/audit.ipynb out.ipynb -p table my.csv -p target label
# ```
#
# Not in the paper {cite:p}`shen2019`.

# %% tags=["skip-execution", "hide-cell"]
# Colab only: installs the library this page imports.
# %pip install -q "itlm[torch,notebooks] @ git+https://github.com/itlm-companion/itlm"

# %% tags=["parameters"]
table: str = ""  # path of your table, CSV or Parquet; empty for the demo
target: str = "diagnosis"  # column of the labels or values
id_column: str = ""  # column that names the rows; empty to count them
model: str = "boosting"  # boosting, linear, or package.module:Class of a scikit-learn estimator
out: str = "report"  # folder to write
seed: int = 0  # seed of models, folds and planted errors, at least 0

# %% tags=["hide-input"]
import json
import os
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

import pandas as pd
from IPython.display import HTML

from itlm import parameters
from itlm.audit.__main__ import main

chosen = parameters.check(
    globals(),
    table=parameters.text(meaning="path of your table, CSV or Parquet; empty for the demo"),
    target=parameters.text(meaning="column of the labels or values"),
    id_column=parameters.text(meaning="column that names the rows; empty to count them"),
    model=parameters.text(meaning="boosting, linear, or package.module:Class of a scikit-learn estimator"),
    out=parameters.text(meaning="folder to write"),
    seed=parameters.whole(meaning="seed of models, folds and planted errors"),
)

# %% [markdown]
# ## The demo table
#
# 569 patients and 30 measurements, with the diagnosis. One label in ten is wrong. Nothing below knows which.

# %%
if not table:
    from sklearn.datasets import load_breast_cancer

    from itlm.audit import plant

    patients = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "diagnosis"})
    truth = patients["diagnosis"].map({0: "malignant", 1: "benign"})
    patients["diagnosis"] = plant(patients, truth.to_numpy(str), "uniform", 57, random_state=seed).y
    os.chdir(tempfile.mkdtemp())  # the demo writes nothing into your folder
    table = "patients.csv"
    patients.to_csv(table, index=False)

# %% [markdown]
# ## The command
#
# Numbers, categories, dates, text and missing values are read as they are. The command finds out and says whether this
# is classification or regression. The default model is gradient boosting. A table of 100,000 rows and 30 columns takes
# about half a minute on two cores, and about eight times its memory.

# %%
ids = ["--id", id_column] if id_column else []
with redirect_stderr(sys.stdout):
    code = main([table, "--target", target, *ids, "--model", model, "--out", out, "--seed", str(seed)])

# %% [markdown]
# `report.html` is the page to look at, `report.csv` and `report.json` hold all rows, and `cleaned.csv` those that are
# kept, unchanged. The same command gives the same bytes.
#
# ## What it found

# %% tags=["hide-input"]
if code:
    raise SystemExit("The message above says what to correct.")
said = json.loads((Path(out) / "report.json").read_text())["summary"]
rows = pd.read_csv(Path(out) / "report.csv", dtype={"kept_rounds": str}).drop(columns="provenance")
for alarm in said["alarms"]:
    print("!", alarm["text"])
first = rows.sort_values("rank").head(10)
columns = [c for c in ("rank", "id", "given", "suggested", "loss", "probability", "dropped") if c in first]
shown = first[columns].copy()
if "probability" in shown:
    shown["probability"] = ["> 99 %" if p > 0.99 else f"{100 * p:.0f} %" for p in shown["probability"]]
HTML(shown.to_html(index=False, border=0, float_format="{:.3f}".format))

# %% [markdown]
# *The ten most suspect rows: the label or value as given, and the suggested one; the loss out of fold; and the
# probability of being wrong, from planted errors.*

# %% tags=["hide-input"]
share = said["share"]
print(f"{said['samples']:,} rows: {share['text']}")
if said["dropped"]:
    print(f"{said['dropped']:,} are dropped; of these {said['wrong_among_dropped']:.0%} are wrong, by estimate")
for kind, part in said.get("found", {}).items():
    print(f"of {kind} errors planted on purpose, {part:.0%} are found")

# %% [markdown]
# ## What to do next
#
# * **Look at the first suspects**, and decide by hand if they are few. The report has a box to tick for each.
# * **Compare before you train on `cleaned.csv`.** Hard clean rows are dropped too, which can cost more than a few wrong
#   labels do: on this very table, with one label in ten wrong, trimming {doc}`lowers the accuracy <alpha>`.
# * **Heed the alarms**: a class that is dropped out of proportion, duplicates with other labels, samples that are
#   suspiciously easy.
# * **Name the errors that you fear**, such as `--errors systematic`. The bound holds only for errors like the planted
#   ones. `python -m itlm.audit --help` lists all options.
#
# | `--errors` | what is planted |
# |---|---|
# | `confusable` (default) | another label, drawn with the model's own probabilities: similar classes are confused |
# | `uniform` | any other label |
# | `systematic` | class a becomes a + 1, the last becomes the first |
# | `gross` (default) | a value moved by five scales of the residuals |
# | `wrong_unit` | a value times ten |
# | `permuted` | the value of another row |
# | `shifted` | a value moved by five scales of all values |
#
# How it works: {doc}`how much is wrong <alpha>`. How good the ranking is: {doc}`which labels are wrong <suspects>`.
#
# ## What remains open
#
# * One table at a time: rows of several tables, or of a time series, are taken as independent.
# * Wrong features are found only if they make the label look wrong.

# %% tags=["hide-input"]
preset = {"table": "", "target": "diagnosis", "id_column": "", "model": "boosting", "out": "report", "seed": 0}
if chosen != preset:
    print("Changed from the preset. Nothing is claimed of it.")
else:
    wrong = (patients["diagnosis"] != truth).to_numpy()
    assert wrong[rows.sort_values("rank").index[:40]].mean() > 0.85, "the first suspects are not wrong"
    assert share["upper"] >= wrong.mean() and abs(share["estimate"] - wrong.mean()) < 0.05
    print(f"As claimed: {wrong.mean():.3f} are wrong, {share['estimate']:.3f} by estimate, the bound above it; "
          f"{wrong[rows['dropped']].sum()} of the {rows['dropped'].sum()} dropped rows are wrong.")  # fmt: skip
