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
# # Images of yours
#
# The command also takes a folder of images, one subfolder a class:
#
# ```bash
# python -m itlm.audit photos/ --out report/
# ```
#
# It scores them with a small network of ours, or with `--features` of yours. On digits with one label in ten wrong,
# below, most of the first suspects are wrong, and the report shows them. 10,000 images take some minutes on a CPU.
#
# Not in the paper {cite:p}`shen2019`.

# %% tags=["skip-execution", "hide-cell"]
# Colab only: installs the library this page imports.
# %pip install -q "itlm[torch,notebooks] @ git+https://github.com/itlm-companion/itlm"

# %% tags=["parameters"]
folder: str = ""  # path of your folder, with a subfolder for each class; empty for the demo
features: str = ""  # path of an .npy file with a row for each image; empty for our network
out: str = "report"  # folder to write
seed: int = 0  # seed of models, folds and planted errors, at least 0

# %% tags=["hide-input"]
import json
import os
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from itlm import figures, parameters
from itlm.audit.__main__ import main

figures.style()
chosen = parameters.check(
    globals(),
    folder=parameters.text(meaning="path of your folder, with a subfolder for each class; empty for the demo"),
    features=parameters.text(meaning="path of an .npy file with a row for each image; empty for our network"),
    out=parameters.text(meaning="folder to write"),
    seed=parameters.whole(meaning="seed of models, folds and planted errors"),
)

# %% [markdown]
# ## The demo folder
#
# 1,000 digits of MNIST, sorted into folders by their label. One in ten lies in a wrong folder.

# %%
if not folder:
    from itlm.audit import plant
    from itlm.deep import images

    digits = images.load("mnist5k")
    pixels, truth = digits.train_x[:1000], digits.train_y[:1000].astype(int)
    given = plant(pixels, truth, "uniform", 100, random_state=seed).y
    os.chdir(tempfile.mkdtemp())  # the demo writes nothing into your folder
    folder = "digits"
    for i, (image, label) in enumerate(zip(pixels, given, strict=True)):
        place = Path(folder, str(label), f"{i:04}.png")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)

# %% [markdown]
# ## The command
#
# Any size and format that Pillow reads. Images that cannot be read are named, skipped and counted.

# %%
more = ["--features", features] if features else []
with redirect_stderr(sys.stdout):
    code = main([folder, *more, "--out", out, "--seed", str(seed)])

# %% [markdown]
# `report.html` shows the suspects, with a box to tick for each; `kept.txt` lists the images to keep.

# %% tags=["hide-input"]
if code:
    raise SystemExit("The message above says what to correct.")
rows = pd.read_csv(Path(out) / "report.csv", dtype={"id": str, "kept_rounds": str}).sort_values("rank")
first = rows.head(16)
pictures = np.array([np.asarray(Image.open(Path(folder, name)).convert("L").resize((28, 28))) for name in first["id"]])
captions = [f"{a} or {b}?"[:14] for a, b in zip(first["given"], first["suggested"], strict=True)]
figures.image_grid(pictures, captions, columns=8)
plt.show()

# %% [markdown]
# *The sixteen most suspect images: the folder that they lie in, and the class that the report suggests.*
#
# ## With features of yours
#
# If you have the features of a larger network, bring them. Save one row for each image file, sorted by class and
# then by path:
#
# ```python
# paths = sorted(Path("photos").glob("*/*.png"), key=lambda p: p.parts)
# np.save("features.npy", np.array([embed(path) for path in paths]))  # embed is your network
# ```
#
# ```bash
# python -m itlm.audit photos/ --features features.npy --out report/
# ```
#
# How good the ranking is: {doc}`which labels are wrong <suspects>`.
#
# ## What remains open
#
# * The network sees 32 x 32 pixels. For what smaller details decide, bring features.
# * One label an image: no boxes, no masks.

# %% tags=["hide-input"]
if chosen != {"folder": "", "features": "", "out": "report", "seed": 0}:
    print("Changed from the preset. Nothing is claimed of it.")
else:
    share = json.loads((Path(out) / "report.json").read_text())["summary"]["share"]
    wrong = rows["id"].map(lambda name: int(name.split("/")[0]) != truth[int(name[-8:-4])]).to_numpy()
    assert wrong[:50].mean() > 0.8 and share["upper"] >= wrong.mean(), "the first suspects are not wrong"
    print(f"As claimed: {wrong[:50].mean():.0%} of the first 50 suspects are wrong, and the bound holds.")
