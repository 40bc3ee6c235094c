"""One BLAS thread for small fits, because threads wait for each other in every product."""

import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache

SMALL = 5_000_000  # numbers in X
CHOSEN = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"}


def few_threads(X_size: int) -> AbstractContextManager:
    """Return a context with one BLAS thread if X has at most `SMALL` numbers.

    With one of two cores busy, fits to 200 columns took 12 to 28 times as long on two threads as on one, from 6e5 to
    4e6 numbers; fits to at most 50 columns took 1 to 2.5 times as long. Larger fits keep BLAS's number of threads. So
    does each fit if the environment sets the number, or if threadpoolctl, which scikit-learn installs, is missing.
    """
    if X_size > SMALL or CHOSEN & set(os.environ) or not _libraries():
        return nullcontext()
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries():
    """Return threadpoolctl's handle of the loaded libraries, which takes milliseconds to find, or None without it."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()
