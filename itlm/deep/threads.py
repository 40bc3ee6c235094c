"""One thread for small networks on a CPU, because threads wait for each other in every layer."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["SMALL", "few_threads", "multiply_adds"]

SMALL = 2e9  # multiply-adds of a forward pass of a batch
DEFAULT = torch.get_num_threads()  # torch's own number, unless it was set before this import


@contextmanager
def few_threads(network: nn.Module, x: torch.Tensor, batch: int) -> Iterator[None]:
    """Use one torch thread on a CPU within the context if the network is small; restore the number afterwards.

    A network is small if a forward pass of a batch takes at most `SMALL` `multiply_adds`. With one of two cores busy, a
    training step of such networks (LeNet, SmallNet, DC-GANs) took 4 to 6 times as long on two threads as on one, and a
    scoring pass 2 to 6 times. Above, a step took 1.1 to 1.5 times as long, or 4 times for deep, narrow networks. Larger
    networks keep torch's number of threads, because idle cores would speed them up. So does each network if you chose
    the number: by OMP_NUM_THREADS or MKL_NUM_THREADS in the environment, or by ``torch.set_num_threads`` after the
    import of this module.

    Parameters
    ----------
    network : torch.nn.Module
        The network; a copy of it is measured. On another device than a CPU nothing is done.
    x : tensor, shape (n, ...)
        Its inputs; the first is used.
    batch : int
        Number of samples in a forward pass, at least 1.
    """
    before, device = torch.get_num_threads(), next(network.parameters()).device
    chosen = before != DEFAULT or {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & set(os.environ)
    if before == 1 or chosen or device.type != "cpu" or batch * multiply_adds(network, x[:1].to(device)) > SMALL:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def multiply_adds(network: nn.Module, x: torch.Tensor) -> int:
    """Count the multiply-adds of the convolutions and dense layers for one sample, the first of x."""
    counts = []

    def count(layer, inputs, output):
        places = inputs[0] if getattr(layer, "transposed", False) else output
        counts.append(places[:1].numel() * layer.weight[0].numel())

    network = copy.deepcopy(network).eval()
    for layer in network.modules():
        if getattr(layer, "weight", None) is not None and layer.weight.dim() > 1:  # no normalisation
            layer.register_forward_hook(count)
    with torch.random.fork_rng(devices=[]):
        network(x[:1])
    return sum(counts)
