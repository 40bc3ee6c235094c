"""Measure what the loop of `itlm.deep.gan` costs over a bare one, and what it saves over the usual example."""

from statistics import median

import torch
from PIL import Image
from timing import in_turn, ratio
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from itlm.deep import gan as dcgan
from itlm.deep import networks
from itlm.deep.inputs import from_tanh
from itlm.experiments import gan

REPEATS = 5
torch.set_num_threads(1)

config = gan.Config(n=1280, width=32, epochs=1, normalisation="none", score_at=1.0).resolved()
given = gan.task(config)
pixels = from_tanh(given.x)
steps = config.recipe().schedule().n_steps(config.n)
# Cut and shuffled beforehand: nothing is left but the networks and the steps.
order = torch.randperm(config.n, generator=torch.Generator().manual_seed(0))
cut = [given.x[i].contiguous(memory_format=torch.channels_last) for i in order.split(config.batch)]


class Files(Dataset):
    """The images one by one, as torchvision hands them out."""

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    def __len__(self):
        return config.n

    def __getitem__(self, i):
        return self.transform(Image.fromarray(pixels[i]))


def usual(batches) -> None:
    """Train a DC-GAN as a tutorial would: binary cross-entropy, two optimisers, three backward passes."""
    theta = networks.initialised(lambda: networks.GAN(28, 1, config.width, "none"), 0)
    G, D, criterion = theta.generator, theta.discriminator, nn.BCEWithLogitsLoss()
    adam_d, adam_g = (torch.optim.Adam(net.parameters(), dcgan.LEARNING_RATE, dcgan.BETAS) for net in (D, G))
    for real in batches:
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        adam_d.zero_grad()
        criterion(D(real), ones).backward()
        fake = G(torch.randn(len(real), networks.LATENT))
        criterion(D(fake.detach()), zeros).backward()
        adam_d.step()
        adam_g.zero_grad()
        criterion(D(fake), ones).backward()
        adam_g.step()


def bare(batches) -> None:
    """Take the steps of `itlm.deep.gan.fit` on batches as they come, and nothing else."""
    theta = networks.initialised(lambda: networks.GAN(28, 1, config.width, "none"), 0)
    theta = theta.to(memory_format=torch.channels_last)
    G, D, loss = theta.generator, theta.discriminator, dcgan.LOSSES["dcgan"]
    adam_d, adam_g = (torch.optim.Adam(net.parameters(), dcgan.LEARNING_RATE, dcgan.BETAS) for net in (D, G))
    for real in batches:
        fake = G(torch.randn(len(real), networks.LATENT))
        adam_d.zero_grad()
        (loss.real(D(real)).mean() + loss.fake(D(fake.detach())).mean()).backward()
        adam_d.step()
        D.requires_grad_(False)
        adam_g.zero_grad()
        loss.generator(D(fake)).mean().backward()
        adam_g.step()
        D.requires_grad_(True)


calls = {
    "fit": lambda: gan.fit(config, given.x, None, 0),
    "bare": lambda: bare(cut),
    "usual": lambda: usual(DataLoader(Files(), config.batch, shuffle=True)),
}
times = in_turn(calls, REPEATS)
speed = {name: steps * config.batch / median(measured) for name, measured in times.items()}

dear, cheap = ratio(times, "fit", "bare"), ratio(times, "usual", "fit")
print(f"DC-GAN, width {config.width}, {steps} steps of {config.batch}, 1 thread, median of {REPEATS} in turn")
print(f"bare loop {speed['bare']:.0f} images/s, fit {speed['fit']:.0f}: time ratio {dear:.2f} (at most 1.05)")
print(f"the usual example's structure {speed['usual']:.0f} images/s: {cheap:.2f} times as long as fit")
