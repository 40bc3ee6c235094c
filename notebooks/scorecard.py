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
# # The scorecard
#
# Every claim of the paper {cite:p}`shen2019` is asked three questions: does it hold here, do our numbers agree with the
# printed ones, and at which size did we run? The first table counts the answers. The second lists the claims; sort it
# by a click on a column's head.
#
# **No GPU was available.** The experiments on CIFAR-10 and CelebA ran on CPUs, with fewer images and smaller networks.
# The column "size" says how much smaller.

# %% tags=["skip-execution", "hide-cell"]
# Colab only: installs the library this page imports.
# %pip install -q "itlm[torch,notebooks] @ git+https://github.com/itlm-companion/itlm"

# %% tags=["parameters"]
show: str = "all"  # claims to list, by answer: all, reproduced, yes, undecided, no or not run

# %% tags=["hide-input"]
import html

import pandas as pd
from IPython.display import HTML

from itlm import parameters, records, verdicts
from itlm.records import results

ANSWERS = ["yes", "no", "undecided", "not run"]
shown = parameters.one_of("all", "reproduced", "yes", "undecided", "no", "not run", meaning="claims to list, by answer")
parameters.check(globals(), show=shown)
claims = verdicts.scorecard(results("paper/claims"), records.everything())
chosen = {"all": claims, "reproduced": claims[claims.reproduced]}.get(show, claims[claims.holds == show])

# %% tags=["hide-input"]
rows = claims["item"].value_counts()


def of_what(answer):
    """Name the items of the claims with an answer, and how many of their claims have it if not all do."""
    counts = claims[claims.holds == answer]["item"].value_counts(sort=False)
    return (
        ", ".join(item + (f" ({n} of {rows[item]})" if n < rows[item] else "") for item, n in counts.items()) or "none"
    )


numbers = claims.numbers.str.replace(r"off by.*", "off", regex=True)
counts = [
    {
        "does it hold?": answer,
        "claims": sum(claims.holds == answer),
        "after Holm": sum(claims.corrected == answer),
        "numbers agree": sum((claims.holds == answer) & (numbers == "agree")),
        "numbers off": sum((claims.holds == answer) & (numbers == "off")),
        "nothing printed": sum((claims.holds == answer) & (numbers == "nothing printed")),
        "at the paper's size": sum((claims.holds == answer) & (claims["size"] == verdicts.PAPERS)),
    }
    for answer in ANSWERS
]
print(f"Reproduced, which is yes to all three questions: {claims.reproduced.sum()} of {len(claims)} claims.")
HTML(pd.DataFrame(counts).to_html(index=False, border=0))

# %% [markdown]
# *Claims by their answer to the first question, and the other answers among them.*

# %% tags=["hide-input"]
open_ones = {"answer": ANSWERS[1:], "claims of": [of_what(answer) for answer in ANSWERS[1:]]}
HTML(pd.DataFrame(open_ones).to_html(index=False, border=0))

# %% [markdown]
# *Which claims do not hold, are undecided or were not run. "1 of 3": one of this item's three claims.*
#
# **Does it hold?** A claim compares two numbers, such as the accuracies of ITLM and of plain training. We pair them by
# seed. *Yes*: the 95 % t-interval of the difference excludes zero, with the claimed sign. *No*: it excludes zero with
# the other sign. *Undecided*: it contains zero. "After Holm" gives the answer after the correction of
# {cite:t}`holm1979` within one table, figure or theorem of the paper. Without it, one in twenty true null differences
# gets an answer by chance.
#
# **Do the numbers agree?** Each printed number must lie within 2 points of our mean, or within its 95 % interval if
# there are at least four seeds. "Off by" gives the largest distance.
#
# **At which size?** The paper's own, a reduced one, or simulated data. A claim is *reproduced* if it holds, with
# numbers that agree, at the paper's size.
#
# **How many seeds?** Ten for each claim about networks, twenty if ten leave it undecided, five on CIFAR-10; then
# "undecided" is the answer. Three differences or fewer are listed one by one, without an interval.
#
# The rule for the first question was fixed before the first run. Since then some claims that were too easy got a
# minimum effect. One margin favours the claim: "the curve does not fall" allows a small fall, because even a flat curve
# could not pass otherwise. Four claims could hardly fail: Lemma 5's first and Lemma 6 test the statements with a
# corrected noise term, and Theorems 9 and 10 are our guess at statements that are not available.


# %% tags=["hide-input", "full-width"]
def noted(text, note):
    """Return HTML of a text with a small note below it."""
    return html.escape(str(text)) + (f"<br><small>{html.escape(note)}</small>" if note else "")


rows = [
    {
        "item": f'<a href="{row.page}.html">{row.item}</a>',
        "claim": f'<div style="min-width: 15rem">{noted(row.claim, row.caveat and row.caveat + ".")}</div>',
        "paper": row.paper,
        "ours": row.ours,
        "seeds": noted(row.n, row.needed and f"{row.needed} to decide"),
        "holds": noted(row.holds, "" if row.corrected == row.holds else f"after Holm: {row.corrected}"),
        "numbers": row.numbers,
        "size": row.size,
    }
    for row in chosen.itertuples()
]
HTML(pd.DataFrame(rows).to_html(index=False, classes="sortable", border=0, escape=False))

# %% [markdown]
# *One row a claim. "Paper" and "ours" read before → after, with the difference and its 95 % interval in brackets. "2 ×
# 0.03" and "79 + 1": the claim has a factor or a margin, and the difference includes it. "3 of 10": three seeds of the
# planned ten. "About 12 to decide": the seeds with which the interval would exclude zero if mean and spread stay.*
#
# What "before" and "after" are:
#
# | item | before | after |
# |---|---|---|
# | Figure 1 | corrupted samples | clean samples |
# | Lemmas 5 and 6 | next error | bound; in Lemma 5's second claim the constant c needed at n = 10,000 and 1,000,000 |
# | Lemma 3, Figure 2(a, b) | smaller n | larger n |
# | Theorem 7, halving | half the distance | next error |
# | Theorems 9 and 10 | distance | next error |
# | Theorems 7 and 8, the others | factor κ at the larger distance or σ | factor κ at the smaller |
# | Tables 1 and 2 | the other method | ITLM |
# | Table 3, Figure 3 | first round | last round |
# | Table 4 | training on everything | ITLM |
#
# **Where the truth entered a choice.** The CIFAR-10 network was chosen by accuracy on held-out images with right
# labels, and by how many wrong labels plain training learns. The GANs were chosen by how they rank corrupted images.
# The backdoor's network was chosen by both, and by what ITLM made of the marked samples. The epochs of the authors'
# recipe for digits were chosen by the printed accuracies of two other methods. All these choices used seeds that no
# result uses. Our own schedule for digits comes from one trial that showed ITLM's rounds too. Who has only dirty data
# could not choose like this.
#
# ## Oddities of the printed tables
#
# The paper's tables are shown as printed, misprints included. What a careful reader will trip over:
#
# 1. Table 1, MNIST, random, 30 % clean: one step (93.91) beats the oracle (91.37) and ITLM (84.54).
#    Most likely a misprint.
# 2. Table 1, CIFAR-10, random: 64.74 stands twice, as ITLM at 30 % and as the baseline at 50 %.
# 3. Table 2 compares random errors at 60 and 20 % clean, which Table 1 does not have, and its rows skip number 3. "Best
#    among the reported results" holds for the *drop* in accuracy, not for the accuracy.
# 4. Table 3's "ratio of clean samples recovered" cannot be recall: keeping five points fewer samples
#    than are clean caps recall below 95 %, and the table reaches 100 %. It reads as the *precision* of the
#    kept set. As precision, 76.84 % at 80 % clean is worse than chance.
# 5. Table 3, CelebA at 70 %: the fourth round is worse than the third. Figure 3 calls the method "ILFB".
# 6. The class pairs of Figure 4 are not among those of Table 4.
# 7. Table 4's attack rates are multiples of 0.1 %: they come from 1,000 images, one class of the test set.
#    "Achieves zero" is 0.1 to 1.3 %. Section 6.4 says the bad images come from "other classes"; the table
#    has one class.
# 8. Table 4 uses $\alpha = 0.98$, which drops 1,000 samples to catch 250.
# 9. Table 1's caption speaks of a significant improvement for all settings, the text of most settings for MNIST. With
#   random errors, 70 and 90 % clean, ITLM is slightly *below* the baseline there; at 30 % clean, with $\alpha$ 15
#   points too low, it collapses.
# 10. For systematic errors at 60 and 70 % clean, $\alpha$ ten points too low beats five points too low.
# 11. Tables 1 to 4 give no seeds and no spread.

# %% [markdown]
# The next cell checks these readings against the tables.

# %% tags=["hide-input"]
table1, table3, table4 = results("paper/table1"), results("paper/table3"), results("paper/table4")
mnist = table1[table1.dataset == "mnist5"].set_index(["noise", "clean_percent"])
cifar = table1[table1.dataset == "cifar10"].set_index(["noise", "clean_percent"])
gan = table3.set_index(["pair", "clean_percent"])
odd = mnist.loc[("random", 30)]
checks = {
    1: odd.one_step > odd.oracle > odd.itlm,
    2: cifar.loc[("random", 30), "itlm"] == cifar.loc[("random", 50), "baseline"],
    4: (table3.iter_5 >= 100).any() and gan.loc[("mnist-fashion_mnist", 80), "iter_1"] < 80,
    5: gan.loc[("celeba-cifar10", 70), "iter_4"] < gan.loc[("celeba-cifar10", 70), "iter_3"],
    7: (round(table4[["naive_test2", "itlm_test2"]] * 10) == table4[["naive_test2", "itlm_test2"]] * 10).all().all(),
    9: all(mnist.loc[("random", p), "itlm"] < mnist.loc[("random", p), "baseline"] for p in (70, 90)),
    10: all(mnist.loc[("systematic", p), "delta_alpha_10"] > mnist.loc[("systematic", p), "itlm"] for p in (60, 70)),
}
wrong = [number for number, holds in checks.items() if not holds]
assert not wrong, f"the tables do not show oddities {wrong}"
print(f"Oddities {', '.join(map(str, checks))} hold in the recorded tables.")

# %% [markdown]
# ## What remains open
#
# The paper's own sizes, except for simulations and the labels of digits. The undecided claims. Rows change when runs
# are recorded; nothing is filled in by hand.
