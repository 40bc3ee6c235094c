"""Measure what the command `python -m itlm.audit` costs over its own model fits, and its memory over the table's.

The table has 100,000 rows: 25 numbers, 3 categories, a date, a column with missing values, and wrong labels.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn.pipeline

from itlm.audit import __main__ as command
from itlm.audit import inspection, models, report, tables  # noqa: F401 - loaded before the memory is measured

N, SEED = 100_000, 0
MEGA = 2**20


def table() -> pd.DataFrame:
    """Draw a table whose target depends on all kinds of columns; one label in ten is wrong."""
    random = np.random.default_rng(SEED)
    X = random.normal(size=(N, 25)).round(6)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(25)])
    score = X[:, :5].sum(axis=1) + X[:, 5] * X[:, 6]
    for size in (4, 30, 200):
        code = random.integers(size, size=N)
        frame[f"kind{size}"] = [f"value {c}" for c in code]
        score += code % 3 - 1
    days, gap = random.integers(2000, size=N), random.normal(size=N).round(5)
    frame["day"] = (pd.Timestamp("2019-01-01") + pd.to_timedelta(days, unit="D")).strftime("%Y-%m-%d")
    frame["gap"] = np.where(random.random(N) < 0.2, np.nan, gap)
    frame["label"] = np.where((score + days / 1000 - 1 + gap > 0) ^ (random.random(N) < 0.1), "yes", "no")
    return frame


def peak() -> float:
    """Return the largest memory of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MEGA if sys.platform == "darwin" else 1024)


def audited(path: str) -> None:
    """Run the command in this process, and print the seconds of its fits, and the memory before and at its peak."""
    seconds, fit, before = [], sklearn.pipeline.Pipeline.fit, peak()

    def timed(*arguments, **options):
        begin = time.perf_counter()
        try:
            return fit(*arguments, **options)
        finally:
            seconds.append(time.perf_counter() - begin)

    sklearn.pipeline.Pipeline.fit = timed
    code = command.main([path, "--target", "label", "--out", f"{path}.report"])
    print(sum(seconds), len(seconds), before, peak())
    sys.exit(code)


def written(path: str) -> None:
    """Write the table, and print the megabytes of its data frame."""
    table().to_csv(path, index=False)
    print(pd.read_csv(path).memory_usage(deep=True).sum() / MEGA)


def main() -> None:
    """Write the table and audit it, in processes of their own, since a process inherits its parent's peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, __file__, str(Path(folder, "table.csv"))]
        data = float(subprocess.check_output([*run, "write"], text=True))
        begin = time.perf_counter()
        *_, said, numbers = subprocess.check_output([*run, "audit"], text=True).splitlines()
        whole = time.perf_counter() - begin
    fits, count, before, most = map(float, numbers.split())
    print(f"{N:,} rows, 30 columns. {said.split('; the report')[0]}.")
    print(f"{count:.0f} fits {fits:.1f} s, whole command {whole:.1f} s: ratio {whole / fits:.2f} (at most 1.5)")
    print(f"libraries {before:.0f} MB, data frame {data:.0f} MB, peak {most:.0f} MB: ratio without libraries "
          f"{(most - before) / data:.1f} (at most 5)")  # fmt: skip


if __name__ == "__main__":
    {"write": written, "audit": audited}[sys.argv[2]](sys.argv[1]) if sys.argv[1:] else main()
