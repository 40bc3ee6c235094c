"""Parameters are checked by name."""

from dataclasses import FrozenInstanceError, dataclass

import pytest

from itlm.parameters import (Config, check, flag, one_of, parameter, real, whole)


@dataclass(frozen=True, kw_only=True)
class Example(Config):
    alpha: float = parameter(0.5, real(0, 1, above_low=True))
    n: int | None = parameter(None, whole(1, 10, optional=True))
    noise: str = parameter("random", one_of("random", "systematic"))
    tanh: bool = parameter(True, flag())


def test_defaults_and_types():
    assert Example() == Example(alpha=0.5, n=None, noise="random", tanh=True)
    assert isinstance(Example(alpha=1).alpha, float)
    with pytest.raises(FrozenInstanceError):
        Example().alpha = 0.1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"alpha": 1.3}, r"alpha must be a number in \(0, 1\], got 1.3"),
        ({"alpha": 0}, r"alpha must be a number in \(0, 1\], got 0"),
        ({"alpha": float("nan")}, "got nan"),
        ({"alpha": "0.5"}, "got '0.5'"),
        ({"n": 11}, r"n must be an integer in \[1, 10\] or None, got 11"),
        ({"n": 2.5}, "n must be an integer"),
        ({"noise": "rnadom"}, "noise must be one of 'random', 'systematic', got 'rnadom'"),
        ({"noise": None}, "got None"),
        ({"tanh": 1}, "tanh must be True or False, got 1"),
    ],
)
def test_a_bad_value_is_named_with_its_range(bad, message):
    with pytest.raises(ValueError, match=message):
        Example(**bad)


NOTEBOOK = {"alpha": 0.5, "n": None, "noise": "random", "tanh": True, "In": ["", "alpha: float = 0.5"]}


def test_a_notebook_gives_its_globals():
    assert Example.from_notebook({**NOTEBOOK, "unrelated": 3, "np": object()}) == Example()


def test_an_injected_name_must_be_known():
    injected = {**NOTEBOOK, "alhpa": 0.3, "In": ["", "# Parameters\nalhpa = 0.3\n"]}
    with pytest.raises(ValueError, match="(?s)unknown parameter 'alhpa'.*alpha: a number.*noise: one of"):
        Example.from_notebook(injected)


def test_a_parameter_that_the_notebook_lacks_is_named():
    with pytest.raises(ValueError, match="(?s)the notebook does not set n, tanh: add it to the .*noise: one of"):
        Example.from_notebook({"alpha": 0.5, "noise": "random"})


def test_an_injected_value_must_be_in_range_and_all_are_listed():
    with pytest.raises(ValueError, match="(?s)noise must be one of .* got 'x'; the parameters are.*alpha: a number"):
        check({**NOTEBOOK, "noise": "x"}, alpha=real(), noise=one_of("random"))
