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
# # One step
#
# **Claim looked at here:** Lemmas 5 and 6 of the paper {cite:p}`shen2019`, on which its theorems rest. One round of
# ITLM brings a (generalised) linear model nearer to the truth, up to a term for the bad samples that were kept and a
# term for the noise.
#
# At the end of this page you will know where the lemmas come from (an identity of two lines), that they hold with the
# noise as it is, that the *printed* noise term is too small once samples are left out, and how little
# corruption they certify next to what ITLM survives.

# %% tags=["skip-execution", "hide-cell"]
# Colab only: installs the library this page imports.
# %pip install -q "itlm[notebooks] @ git+https://github.com/itlm-companion/itlm"

# %% tags=["parameters"]
instances: int = 1000  # random instances on which the lemmas are checked, in [10, 100000]
alpha: float = 0.8  # fraction kept if no sample is bad (alpha in the paper), in (0, 0.999]
d: int = 20  # features of the larger data sets, in [2, 100]
seed: int = 0  # seed of all data, at least 0

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML

from itlm import figures, parameters, theory
from itlm.experiments import one_step
from itlm.experiments.one_step import aside
from itlm.figures import BAD, BASELINE, CLEAN, ITLM, ORACLE, OTHER
from itlm.linear import LINKS, OUTPUTS, largest_step, simulate

figures.style()
chosen = parameters.check(
    globals(),
    instances=parameters.whole(10, 100_000, meaning="random instances on which the lemmas are checked"),
    alpha=parameters.real(0, 0.999, above_low=True, meaning="fraction kept if no sample is bad (alpha in the paper)"),
    d=parameters.whole(2, 100, meaning="features of the larger data sets"),
    seed=parameters.whole(meaning="seed of all data"),
)


# %% [markdown]
# ## The statement, as we read it
#
# Clean outputs are $y = \phi^\top \theta^\star + e$, bad ones $y = r + e$, features $\phi$ are never bad, $e$ has
# spread $\sigma$. Round $t$ keeps the set $S_t$ of the $\alpha n$ smallest squared residuals and fits it by least
# squares; $S^\star$ is the set of clean samples. **Lemma 5** says that with high probability
#
# $$\|\theta_{t+1} - \theta^\star\| \le \frac{\sqrt 2\, \gamma_t}{\psi^-(\alpha n)} \|\theta_t - \theta^\star\|
#   + \frac{\sqrt 2\, \varphi_t + c\, \xi_t\, \sigma}{\psi^-(\alpha n)},$$
#
# where $\psi^-(k)$ and $\psi^+(k)$ are the smallest and largest eigenvalue of $\sum_{i \in W} \phi_i \phi_i^\top$ over
# all sets $W$ of $k$ samples, $\gamma_t = \psi^+(|S_t \setminus S^\star|)$, $\varphi_t = \|\sum_{S_t \setminus S^\star}
# (\phi_i^\top \theta_t - r_i - e_i)\, \phi_i\|$ and $\xi_t = \sqrt{\sum_i \|\phi_i\|^2 \log n}$.
#
# ## Where it comes from
#
# Least squares on the kept set solves $\sum_{S_t} \phi\, (y - \phi^\top \theta_{t+1}) = 0$. Write
# $\Delta_t = \theta_t - \theta^\star$, $A = \sum_{S_t} \phi \phi^\top$ and $B$ for the part of $A$ that is bad. Put in
# what $y$ is, and add and subtract $\phi^\top \theta_t$ for the bad samples:
#
# $$\Delta_{t+1} = A^{-1} \Big[ B \Delta_t - \sum_{S_t \setminus S^\star} (\phi^\top \theta_t - r - e)\, \phi
#   + \sum_{S_t \cap S^\star} e\, \phi \Big].$$
#
# This is **exact**. The triangle inequality gives the lemma's bound, even with 1 in place of $\sqrt 2$, but with the
# norm of the last sum as it stands. The print has $c\,\xi_t\, \sigma$ in its place: that step is looked at below.
# `theory.take_step` measures each term. We check it on random instances of every kind: sizes, noise, distance and bad
# outputs are all drawn. (*random*: N(0, 1), whatever the features; *mixture*: another plane; *sign_flip*: the plane of
# $-\theta^\star$; *shifted*: a parallel plane; *all_scales*: errors of every size, all in one direction; *leverage*:
# far features with a wrong output; *oblivious*: errors that do not depend on the features; *coin*: plus or minus 1.)

# %% tags=["hide-input"]
draw = np.random.default_rng(seed)
rows = []
for i in range(instances):
    kind = OUTPUTS[i % len(OUTPUTS)]
    features = int(draw.integers(2, 16))
    clean = draw.uniform(0.6, 1.0)
    n, noise, distance = int(draw.integers(8 * features, 400)), 10 ** draw.uniform(-3, 0), 10 ** draw.uniform(-2, 1)
    data = simulate(n, features, clean, noise, kind, seed=seed + i)
    step = theory.take_step(
        data.X, data.y, aside(data.theta, distance, seed + i), data.theta, data.is_bad, clean - 0.05
    )
    bounds = theory.lemma_5(step, root_2=False), theory.lemma_5(step)
    holds = [step.error <= bound * (1 + 1e-9) for bound in bounds]
    rows.append((kind, step.gap / max(1, distance), *holds, bounds[1] / step.error))
checked = pd.DataFrame(rows, columns=["outputs", "gap", "factor 1", "factor √2", "loose"])
table = checked.groupby("outputs", sort=False).agg(
    instances=("gap", "size"),
    gap=("gap", lambda gaps: f"{gaps.max():.0e}"),
    **{f"holds, {name}": (name, "sum") for name in ("factor 1", "factor √2")},
    **{"bound / error": ("loose", lambda ratios: f"{ratios.median():.1f}")},
)
HTML(table.reset_index().to_html(index=False, border=0))

# %% [markdown]
# *"gap": the largest difference between the two sides of the identity: rounding. "holds": in how many instances the
# next error is below the lemma's bound, with the actual sum of noise in place of $c\,\xi_t\,\sigma$ and the eigenvalues
# of the kept set, which make the bound tighter than the lemma's. It holds in all. "bound / error": the median, with √2;
# it is loose.*
#
# ## The printed noise term
#
# The last sum runs over the *kept* clean samples, and which samples are kept depends on their noise: those with noise
# that happens to agree with $\theta_t$ stay, those that would correct it go. So the sum does not average out. Take no
# bad sample at all, so that only this term is left, and more and more samples.

# %% tags=["hide-input"]
sizes, few = (1000, 10_000, 100_000, 1_000_000), 5
steps = []
for n in sizes:
    data = simulate(n, few, 1.0, 1.0, seed=seed)
    steps.append(theory.take_step(data.X, data.y, aside(data.theta, 1.0, seed), data.theta, data.is_bad, alpha))
printed = [theory.lemma_5(step, sigma=1.0) for step in steps]
fig, ax = plt.subplots()
ax.plot(sizes, [step.error for step in steps], "o-", color=ITLM, label="next error")
ax.plot(sizes, printed, "s-", color=BAD, label="printed bound, c = 1")
ax.plot(sizes, [theory.lemma_5(step) for step in steps], "^-", color=CLEAN, label="with actual sum")
ax.axhline(theory.clean_contraction(alpha, 1.0), color=ORACLE, lw=1, ls="--")
ax.set(xscale="log", yscale="log", xlabel="samples", ylabel="distance from the truth")
figures.log_ticks(ax.yaxis)
figures.label_ends(ax, gap=0.08)
plt.show()

# %% [markdown]
# *One step without bad samples, five features, from a distance equal to the noise. The error does not fall with n; the
# printed bound does, and ends below it: no constant c repairs that. With the actual sum of noise the bound holds.
# Dashed: the closed form.*
#
# For Gaussian features the limit is known: with $T(\alpha) = E[z^2\, 1\{z^2 \le q\}]$, $z$ standard Gaussian and $q$
# the $\alpha$-quantile of $z^2$, one step multiplies the error by $(\alpha - T)/(\alpha + \rho^2 T)$, where $\rho =
# \|\Delta_t\|/\sigma$.

# %% tags=["hide-input"]
parts = (0.5, 0.65, 0.8, 0.9, 0.95)
factors = {
    "fraction kept": [f"{a:g}" for a in parts],
    "far away (10 σ)": [f"{theory.clean_contraction(a, 10):.3f}" for a in parts],
    "at distance σ": [f"{theory.clean_contraction(a, 1):.2f}" for a in parts],
    "near the truth": [f"{theory.clean_contraction(a, 0):.2f}" for a in parts],
}
HTML(pd.DataFrame(factors).to_html(index=False, border=0))

# %% [markdown]
# *Factor per step when no sample is bad. It is linear convergence near the truth, slower the more is left out.*
#
# What remains true of the paper's remark that ITLM is consistent on clean data: the steps do lead to the truth as $n$
# grows, since the factor is below 1. But it takes many steps, not one.
#
# ## What cannot be computed: $\psi^-$ and $\psi^+$
#
# They are extremes over all subsets. A search finds one subset, so it can only overestimate $\psi^-$ and underestimate
# $\psi^+$. That will do to test the lemma, but it guarantees nothing. For a guarantee there are only crude bounds.

# %% tags=["hide-input"]
n, parts = 1000, (0.55, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
X = np.random.default_rng(seed).standard_normal((n, few))
least = [theory.smallest_eigenvalue(X, round(a * n)) for a in parts]
most = [theory.largest_eigenvalue(X, n - round(a * n)) for a in parts]
fig, axes = plt.subplots(2, 1, figsize=(6, 6.4), sharex=True)
for ax, brackets, limit, title in (
    (axes[0], least, [theory.central_square(a) for a in parts], "ψ⁻ of the part that is kept"),
    (axes[1], most, [theory.outer_square(1 - a) for a in parts], "ψ⁺ of the part that is left"),
):
    low, high = np.array(brackets).T / n
    found, certain = (high, low) if ax is axes[0] else (low, high)
    ax.plot(parts, found, "o-", color=ITLM, label="by search")
    ax.plot(parts, certain, "s-", color=BAD, label="certain")
    ax.plot(parts, limit, "--", color=ORACLE, lw=1, label="limit")
    ax.set(title=title, ylabel="eigenvalue / n")
    figures.label_ends(ax, gap=0.1)
axes[1].set_xlabel("fraction kept")
plt.show()

# %% [markdown]
# *Between "by search" and "certain" lies the truth; dashed, the limit for many samples. What is certain of ψ⁻ is 0 up
# to nine tenths kept. These bounds certify a contraction for one or two per cent of bad samples, not more.*
#
# ## How much corruption is certified
#
# Theorem 7 asks for $\alpha^\star > c_{th}$, a constant without a number. Gaussian features, many samples and no noise
# give one: with all bad samples kept at worst, the first factor of Lemma 5 is $\sqrt 2\,
# U(1-\alpha^\star)/T(\alpha^\star)$ with $U(b) = 1 - T(1-b)$. The term $\varphi_t$ is proportional to the distance too.
# At least as many clean samples are left out as bad ones are kept, and no kept residual is larger than theirs; so
# $\varphi_t \le \psi^+(m)\, \|\Delta_t\|$, $m$ the number of bad samples kept, and the factor at most doubles.

# %% tags=["hide-input"]
rows = []
for name, both in (("first term alone", False), ("both terms", True)):
    for root in (True, False):
        most = [100 * theory.certified_corruption(level, both_terms=both, root_2=root) for level in (1, 0.5)]
        rows.append((name, "√2" if root else "1", *(f"{share:.1f}" for share in most)))
certified = pd.DataFrame(rows, columns=["counted", "factor", "below 1 (% bad)", "below 1/2 (% bad)"])
HTML(certified.to_html(index=False, border=0))

# %% [markdown]
# *The largest share of bad samples for which the factor is below 1, or below 1/2 as Theorem 7 wants. Only "both terms"
# is a certificate: a few per cent. "First term alone" leaves out φ and is what one would read off the lemma at first
# sight.*


# %% tags=["hide-input"]
def factor(share, kind, i):
    """What one step multiplies the error by, on one data set, where just the bad samples' number is left out."""
    setting = one_step.Config(outputs=kind, clean=1 - share, alpha=1 - share, sigma=0.0, distance=0.5, n=4000, d=d,
                              seed=seed + i)  # fmt: skip
    data, theta = one_step.task(setting)
    step = theory.take_step(data.X, data.y, theta, data.theta, data.is_bad, 1 - share)
    return step.error / step.distance


shares = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45])
bound = [2 * np.sqrt(2) * theory.outer_square(b) / theory.central_square(1 - b) for b in shares]
fig, ax = plt.subplots()
ax.plot(100 * shares, bound, color=ORACLE, ls="--", lw=1, label="certified")
kinds = {"all_scales": BAD, "sign_flip": OTHER[0], "mixture": CLEAN, "random": ITLM, "aimed": "k"}
for kind, colour in kinds.items():
    worst = np.array([max(factor(share, kind, i) for i in range(5)) for share in shares])
    ax.plot(100 * shares, worst, "s-" if kind == "aimed" else "o-", ms=4, color=colour, label=kind)
ax.axhline(1, color=BASELINE, lw=1)
ax.set(xlabel="bad samples (%)", ylabel="factor of one step", yscale="log", ylim=(1e-3, 20))
figures.label_ends(ax, gap=0.08)
plt.show()
half, one = (100 * shares[worst < level].max() for level in (0.5, 1.0))  # of the last kind, aimed
print(f"aimed: the error is halved at up to {half:.0f} % of bad samples, and shrinks at up to {one:.0f} %")

# %% [markdown]
# *Factor by which one step changes the error, worst of five data sets, half a length of θ\* from the truth; below the
# grey line the error shrinks. The four kinds drawn are far below the certificate, up to nearly one half. "Aimed" is an
# adversary who knows $\theta_t$ and moves the samples that see most of its error, as far as they are still kept: it
# stops the contraction at a bit more than one sample in ten, where the certificate gives up at half of that. So for
# arbitrary outputs Theorem 7, which halves the error, can hold only where hardly more than the first number above is
# bad; its constant is not given. A cleverer adversary may need fewer still.*
#
# ## Lemma 6: other links, one gradient step
#
# Let $y = \omega(\phi^\top \theta^\star) + e$ with $\omega' \in [a, b]$, $a > 0$, and take one gradient step of size
# $\eta$ on the kept set. As we read it,
#
# $$\|\theta_{t+1} - \theta^\star\| \le
#   \Big(1 - \eta\, \frac{a^2 \psi^-(\alpha n)}{\alpha n}\Big) \|\theta_t - \theta^\star\|
#   + \eta\, \frac{\tilde\varphi_t + \xi_t\, b\, \sigma}{\alpha n}.$$
#
# Here $\tilde\varphi_t = \|\sum_{S_t \setminus S^\star} (\omega(\phi_i^\top \theta^\star) - r_i - e_i)\,
# \omega'(\phi_i^\top \theta_t)\, \phi_i\|$, and the 2 of the square's derivative is part of $\eta$. The print evaluates
# $\omega'$ at $\theta^\star$; the gradient has it at $\theta_t$, which is what we use. Its noise term is as in Lemma 5,
# and as doubtful. It states no condition on $\eta$. One is needed, since for a large step the factor on the right is
# even negative: $\eta \le 2 \alpha n / (a^2 \psi^- + b^2 \psi^+)$. Logistic regression ($a = 0$) and Poisson regression
# ($b = \infty$) are outside the lemma. Two links that are inside: *leaky*, $\max(u, u/2)$, and *wavy*, $u + \sin(u)/2$.

# %% tags=["hide-input"]
reaches, held = np.array([0.1, 0.5, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0]), {}
for link in LINKS:
    held[link] = np.zeros(len(reaches))
    for i in range(100):
        data = simulate(400, 5, 0.9, 0.05, OUTPUTS[i % 5], link, seed=seed + i)
        theta = aside(data.theta, (0.1, 1.0, 3.0)[i % 3], seed + i)
        size = largest_step(data.X, theory.selection(data.X, data.y, theta, 0.85, link), link)
        for j, reach in enumerate(reaches):
            step = theory.take_step(data.X, data.y, theta, data.theta, data.is_bad, 0.85, link=link, step=reach * size)
            held[link][j] += step.error <= theory.lemma_6(step, reach * size, link=link) * (1 + 1e-9)
fig, ax = plt.subplots()
for (link, count), colour in zip(held.items(), (CLEAN, OTHER[1], BAD), strict=True):
    ax.plot(reaches, count, "o-", color=colour, label=link)
ax.axvline(1, color=ORACLE, lw=1, ls="--")
ax.set(xlabel="step size, in units of the largest covered", ylabel="bound holds (% of instances)", ylim=(-3, 103))
figures.label_ends(ax, gap=0.08)
plt.show()

# %% [markdown]
# *A hundred instances for each link, with the actual sum of noise in place of $\xi_t\, b\, \sigma$ and the kept set's
# eigenvalues. Up to the condition (dashed) the bound always holds. Beyond it, it soon fails for the identity; for the
# two other links the condition is cautious, and it first fails at about twice the size.*
#
# ## What the lemmas miss
#
# * They bound the worst case. What ITLM does to random outputs or mixtures is far better than certified.
# * The print's noise term vanishes as $n$ grows, the true one does not. Theorem 7 inherits it. Its other term,
#   $c_1\sqrt{\kappa_t}\,\sigma$, does not vanish with $n$, but for random outputs and small $\sigma$ it is too small as
#   well: see [How fast it converges](convergence).
# * $\psi^-$ and $\psi^+$ cannot be computed. The bounds that can be certify one or two per cent of bad samples at best,
#   in our example.
#
# ## What remains open
#
# A bound for $\|\sum_{S_t \cap S^\star} e\, \phi\|$ that is of the right order, $\alpha n$ times a multiple of the
# distance, for other than Gaussian features.

# %% tags=["hide-input"]
if instances != 1000 or alpha != 0.8:
    print(f"Changed from the preset: {chosen}. Nothing is claimed of it.")
else:
    assert checked.gap.max() < 1e-10, "the identity is not exact"
    assert checked["factor 1"].all(), "the bound with the actual noise fails"
    assert printed[-1] < steps[-1].error, "the printed noise term covers the error after all"
    assert all((count[reaches <= 1] == 100).all() for count in held.values()), "Lemma 6 fails within its condition"
    print(
        f"As claimed: the identity is exact to {checked.gap.max():.0e}, the bound true in all {len(checked)} instances."
    )
