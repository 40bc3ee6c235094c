"""Measure what trimming costs over one partition, and what importing the package costs."""

import subprocess
import sys
import time

import numpy as np
import torch

from itlm import n_kept, trim

N, ALPHA, REPEATS = 10**7, 0.8, 9


def fastest(call) -> float:
    """Seconds of the fastest of some calls."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


losses = np.random.default_rng(0).random(N, dtype=np.float32)
tensor = torch.from_numpy(losses)
k = n_kept(N, ALPHA)
print(f"{N} float32 losses, alpha {ALPHA}, fastest of {REPEATS}, {torch.get_num_threads()} torch threads")
for name, ours, bare in (
    ("np.partition", lambda: trim(losses, ALPHA), lambda: np.partition(losses, k - 1)),
    ("torch.kthvalue", lambda: trim(tensor, ALPHA), lambda: tensor.kthvalue(k)),
):
    bare_time, our_time = fastest(bare), fastest(ours)
    print(
        f"{name} {bare_time * 1e3:.0f} ms, trim {our_time * 1e3:.0f} ms: ratio {our_time / bare_time:.2f} (at most 3)"
    )

importing = [fastest(lambda m=m: subprocess.run([sys.executable, "-c", f"import {m}"])) for m in ("numpy", "itlm")]
print(f"import numpy {importing[0] * 1e3:.0f} ms, import itlm {importing[1] * 1e3:.0f} ms (at most 300)")
