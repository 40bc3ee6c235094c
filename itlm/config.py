"""Parameters that are checked by name, for notebooks and experiments.

A notebook's parameters arrive as global names, and papermill only logs a misspelt one. ``check``
compares them with what the notebook declares and refuses the rest, so that a typo cannot run the
wrong experiment in silence.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, Self

__all__ = ["alpha_of", "check", "Range", "whole", "real", "one_of", "flag", "Config", "parameter"]


@dataclass(frozen=True)
class Range:
    """The values a parameter may take.

    Attributes
    ----------
    kind : type
        ``int``, ``float``, ``str`` or ``bool``.
    low, high : float or None
        Smallest and largest number allowed; None where there is no such bound.
    above_low : bool
        Whether ``low`` itself is excluded.
    choices : tuple of str
        The names allowed, for ``str``.
    optional : bool
        Whether None is allowed: the scale decides.
    """

    kind: type
    low: float | None = None
    high: float | None = None
    above_low: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        if self.choices:
            said = "one of " + ", ".join(map(repr, self.choices))
        elif self.kind is bool:
            said = "True or False"
        else:
            said = "an integer" if self.kind is int else "a number"
            if self.low is not None and self.high is not None:
                said += f" in {'(' if self.above_low else '['}{self.low}, {self.high}]"
            elif self.low is not None:
                said += f" {'above' if self.above_low else 'of at least'} {self.low}"
        return said + (" or None" if self.optional else "")

    def check(self, name: str, value: Any) -> Any:
        """Return the value in its own type.

        Raises
        ------
        ValueError
            If the value is outside the range; the message names the parameter, the value and the range.
        """
        if value is None and self.optional:
            return None
        if self.kind is bool:
            fits = type(value).__name__ in ("bool", "bool_")  # NumPy's too
        elif self.kind is str:
            fits = value in self.choices
        else:
            number = Integral if self.kind is int else Real
            fits = (
                isinstance(value, number)
                and not isinstance(value, bool)
                and (self.low is None or value > self.low or (value == self.low and not self.above_low))
                and (self.high is None or value <= self.high)
                and value == value  # not NaN
            )
        if not fits:
            raise ValueError(f"{name} must be {self}, got {value!r}")
        return self.kind(value)


def whole(low: int = 0, high: int | None = None, *, optional: bool = False) -> Range:
    """Allow integers in [low, high]."""
    return Range(int, low, high, optional=optional)


def real(low: float = 0, high: float | None = None, *, above_low: bool = False, optional: bool = False) -> Range:
    """Allow numbers in [low, high], or in (low, high] with ``above_low``."""
    return Range(float, low, high, above_low, optional=optional)


def one_of(*choices: str, optional: bool = False) -> Range:
    """Allow the given names."""
    return Range(str, choices=choices, optional=optional)


def flag(*, optional: bool = False) -> Range:
    """Allow True and False."""
    return Range(bool, optional=optional)


def check(namespace: Mapping[str, Any], **ranges: Range) -> dict[str, Any]:
    """Check a notebook's parameters; call it right after the ``parameters`` cell.

    Parameters
    ----------
    namespace : mapping
        The notebook's ``globals()``.
    **ranges : Range
        What each parameter may be.

    Returns
    -------
    dict
        The parameters, in the order of ``ranges``.

    Raises
    ------
    ValueError
        For a name that papermill injected and the notebook does not know, a parameter that the notebook does
        not set, or a value outside its range. The message lists the valid ones.
    """
    valid = "\n".join(f"  {name}: {allowed}" for name, allowed in ranges.items())
    unknown = [name for name in _injected(namespace.get("In", ())) if name not in ranges]
    if unknown:
        raise ValueError(f"unknown parameter {', '.join(map(repr, unknown))}; the parameters are\n{valid}")
    if missing := [name for name in ranges if name not in namespace]:
        raise ValueError(
            f"the notebook does not set {', '.join(missing)}: add it to the parameters cell; they are\n{valid}"
        )
    try:
        return {name: allowed.check(name, namespace[name]) for name, allowed in ranges.items()}
    except ValueError as error:
        raise ValueError(f"{error}; the parameters are\n{valid}") from None


def _injected(cells: Sequence[str]) -> list[str]:
    """Names set by the cells that papermill injects; it begins them with this comment."""
    injected = [ast.parse(cell) for cell in cells if cell.startswith("# Parameters\n")]
    return [
        target.id for cell in injected for line in cell.body if isinstance(line, ast.Assign) for target in line.targets
    ]


def alpha_of(clean: float) -> float:
    """Return the fraction kept where none is given: five points less than is clean, as in the paper; at least 0.05."""
    return max(round(clean - 0.05, 10), 0.05)


def parameter(default: Any, allowed: Range) -> Any:
    """Declare a field of a `Config` with its default and its range.

    A field that may be None is None by default: tables have an empty cell for None, and for what an older run lacks.
    """
    if allowed.optional and default is not None:
        raise ValueError(f"a field that may be None must be None by default, got {default!r}")
    return field(default=default, metadata={"range": allowed})


@dataclass(frozen=True, kw_only=True)
class Config:
    """A frozen set of parameters, each checked against its range when constructed.

    Subclass it with ``@dataclass(frozen=True, kw_only=True)`` and fields made by `parameter`.
    """

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, f.metadata["range"].check(f.name, getattr(self, f.name)))

    def filled(self, preset: Mapping[str, Any]) -> Self:
        """Return a copy in which the preset's values stand where there was None."""
        return replace(self, **{name: value for name, value in preset.items() if getattr(self, name) is None})

    def changed(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """Make one from a notebook's ``globals()``; see `check`."""
        return cls(**check(namespace, **{f.name: f.metadata["range"] for f in fields(cls)}))
