"""Iterative Trimmed Loss Minimization (Shen & Sanghavi, ICML 2019).

    trim(losses, alpha) -> mask                       keep the floor(alpha n) smallest losses
    iterate(losses, update, theta, alpha, rounds)     alternate between trimming and refitting

Importing this package loads only NumPy; modules that need more load on first use.
"""

from .trimming import Round, iterate, n_kept, trim

__all__ = ["Round", "iterate", "n_kept", "trim"]
__version__ = "0.2.0"
