"""Simulated data, gradient steps and full updates."""

import numpy as np
import pytest

from itlm import n_kept
from itlm.linear import LINKS, OUTPUTS, full_update, gradient_step, largest_step, simulate

# simulated data


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_clean_samples_follow_the_model_and_bad_ones_do_not(outputs, link):
    data = simulate(4000, 7, 0.7, 0.0, outputs, link, seed=2)
    assert data.is_bad.sum() == 4000 - n_kept(4000, 0.7)
    right = np.isclose(data.y, LINKS[link].value(data.X @ data.theta), rtol=1e-12)
    assert right[~data.is_bad].all() and right[data.is_bad].mean() < (0.7 if link == "leaky" else 0.01)
    assert abs(np.linalg.norm(data.theta) - 1) < 1e-12
    again = simulate(4000, 7, 0.7, 0.0, outputs, link, seed=2)
    assert np.array_equal(again.X, data.X) and np.array_equal(again.y, data.y)


def test_a_mixture_has_its_components_in_equal_parts():
    data = simulate(1000, 5, 0.4, 0.0, "mixture", components=4)
    on = np.isclose(data.y[:, None], data.X @ data.components.T)
    assert data.components.shape == (4, 5) and on.sum(0).tolist() == [400, 200, 200, 200]


def test_noise_has_its_standard_deviation():
    data = simulate(20000, 3, 1.0, 0.3)
    assert abs((data.y - data.X @ data.theta).std() - 0.3) < 0.01 and not data.is_bad.any()


@pytest.mark.parametrize("link", LINKS)
def test_a_links_slope_is_its_derivative_and_lies_in_its_range(link):
    omega, u = LINKS[link], np.linspace(-5, 5, 1000)
    assert np.allclose((omega.value(u + 1e-6) - omega.value(u - 1e-6)) / 2e-6, omega.slope(u), atol=1e-4)
    assert omega.low - 1e-12 <= omega.slope(u).min() and omega.slope(u).max() <= omega.high + 1e-12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": "odd"}, "outputs must be one of .random., .mixture."),
        ({"link": "probit"}, "link must be one of identity, leaky, wavy, got 'probit'"),
        ({"n": 0}, "n must be an integer of at least 1, got 0"),
        ({"n": 10.0}, "n must be an integer of at least 1, got 10.0"),
        ({"d": np.nan}, "d must be an integer of at least 1, got nan"),
        ({"sigma": -1}, "sigma must be a number of at least 0, got -1"),
        ({"alpha_star": 1.2}, r"alpha_star must be in \(0, 1\], .*, got 1.2"),
        ({"alpha_star": 0.09}, "alpha_star must be .* at least 1/10 for one clean sample of 10, got 0.09"),
        ({"components": 1}, "components must be an integer of at least 2, got 1"),
    ],
)
def test_simulations_out_of_range_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        simulate(**{"n": 10, "d": 2, "alpha_star": 0.8, "sigma": 0.1, **change})


# gradient steps


@pytest.mark.parametrize(
    "call",
    [
        lambda data, kept: gradient_step(data.X, data.y, data.theta, kept, 0.1, "logit"),
        lambda data, kept: full_update(data.X, data.y, data.theta, kept, "logit"),
        lambda data, kept: largest_step(data.X, kept, "logit"),
    ],
)
def test_an_unknown_link_is_told_those_there_are(call):
    with pytest.raises(ValueError, match="link must be one of identity, leaky, wavy, got 'logit'"):
        call(simulate(10, 2, 0.8, 0.1), np.ones(10, bool))


@pytest.mark.parametrize("link", LINKS)
def test_a_gradient_step_follows_the_gradient(link):
    data, omega = simulate(50, 4, 0.8, 0.1, link=link), LINKS[link]
    kept, theta, step = np.arange(50) < 30, np.array([0.3, -0.2, 0.5, 0.1]), 1e-6
    loss = lambda t: 0.5 * ((omega.value(data.X[kept] @ t) - data.y[kept]) ** 2).mean()  # noqa: E731
    slope = np.array([(loss(theta + h) - loss(theta - h)) / 2e-5 for h in 1e-5 * np.eye(4)])
    assert np.allclose((theta - gradient_step(data.X, data.y, theta, kept, step, link)) / step, slope, atol=1e-5)


def test_beyond_the_largest_step_gradient_descent_diverges_and_below_it_converges():
    data = simulate(200, 3, 1.0, 0.0)
    kept = np.ones(200, bool)
    for factor, converges in ((0.99, True), (2.2, False)):
        theta = np.zeros(3)
        for _ in range(2000):
            theta = gradient_step(data.X, data.y, theta, kept, factor * largest_step(data.X, kept))
            if not np.linalg.norm(theta) < 1e6:
                break
        assert (np.linalg.norm(theta - data.theta) < 1e-9) == converges


# full updates


@pytest.mark.parametrize("link", ["identity", "leaky", "wavy"])
def test_the_full_update_is_where_no_gradient_is_left(link):
    data = simulate(200, 3, 0.8, 0.3, link=link, seed=3)
    kept = ~data.is_bad
    theta = full_update(data.X, data.y, np.zeros(3), kept, link)
    assert np.allclose(gradient_step(data.X, data.y, theta, kept, 1.0, link), theta, atol=1e-6)
    if link == "identity":
        least = np.linalg.lstsq(data.X[kept], data.y[kept], rcond=None)[0]
        assert np.allclose(theta, least)
        assert np.allclose(full_update(data.X, data.y, least + 1e-8, kept), least, rtol=0, atol=1e-13)


def test_a_full_update_that_is_not_determined_is_refused():
    data = simulate(20, 5, 1.0, 0.1)
    with pytest.raises(ValueError, match="kept has 4 samples for 5 features"):
        full_update(data.X, data.y, data.theta, np.arange(20) < 4)
