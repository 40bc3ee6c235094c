"""What generated images are worth: a judge that knows the sets apart, classes, a distance with a known answer."""

import numpy as np
import pytest
import torch
from torch import nn

from itlm.experiments import gan_quality

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_judge_knows_the_sets_apart():
    assert gan_quality.train_judge("mnist5k", "textures", 28).accuracy > 95


@pytest.mark.parametrize(("looks", "classes"), [([3, 3], 0), ([0, 3], 1), ([0, 2], 2)])
def test_the_clean_classes_among_generated_images_are_counted(looks, classes):
    judge = gan_quality.Judge(nn.Sequential(nn.Flatten(), nn.Identity()), 3, 100.0, np.eye(4))
    found = gan_quality.worth(judge, torch.eye(4)[looks][:, None, None])
    assert found["classes_generated"] == pytest.approx(classes)


def test_the_frechet_distance_of_two_gaussians():
    random = np.random.default_rng(0)
    a, b = random.standard_normal((20000, 3)), 2 * random.standard_normal((20000, 3)) + [1, 0, 0]
    assert abs(gan_quality.frechet(a, b) - (1 + 3)) < 0.15  # (2 - 1)^2 in each of three directions
    assert abs(gan_quality.frechet(a, a)) < 1e-9
