"""Parameters that state their type, range, unit and meaning once, and are checked by name.

The class's docstring, the comments in a notebook's ``parameters`` cell and the errors all come from the fields of
`Parameters`. Papermill only logs a misspelt name; `check` raises an error, so that a typo cannot run the wrong
experiment in silence.
"""

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, Self

__all__ = ["Parameters", "Range", "alpha_of", "check", "flag", "one_of", "parameter", "real", "text", "whole"]

PAPERMILLS = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")  # what papermill --inject-paths sets by itself


@dataclass(frozen=True)
class Range:
    """The allowed values of a parameter, and their meaning.

    Attributes
    ----------
    kind : type
        ``int``, ``float``, ``str`` or ``bool``.
    low, high : float or None
        Smallest and largest number allowed; None if there is no such bound.
    above_low, optional : bool
        Whether ``low`` itself is excluded, and whether None is allowed.
    choices : tuple of str
        The names allowed, for ``str``; empty for any text.
    meaning, none : str
        What the parameter is, with its unit, in one phrase; and what None means.
    """

    kind: type
    low: float | None = None
    high: float | None = None
    above_low: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False
    meaning: str = ""
    none: str = "set by the scale"

    def __str__(self) -> str:
        if self.choices:
            said = "one of " + ", ".join(map(repr, self.choices))
        elif self.kind is bool:
            said = "True or False"
        elif self.kind is str:
            said = "text"
        else:
            said = f"{'an integer' if self.kind is int else 'a number'} {self.interval()}".rstrip()
        return said + (" or None" if self.optional else "")

    def interval(self) -> str:
        """Return the bounds of a number as text, such as ``"in (0, 1]"``; empty without bounds."""
        if self.low is not None and self.high is not None:
            return f"in {'(' if self.above_low else '['}{_plain(self.low)}, {_plain(self.high)}]"
        return "" if self.low is None else f"{'above' if self.above_low else 'of at least'} {_plain(self.low)}"

    def comment(self, *, short: bool = False) -> str:
        """Return the comment beside the parameter in a notebook: meaning, range, and what None means.

        A short comment leaves out the names in the middle of a long list.
        """
        names = [*self.choices[:3], "...", self.choices[-1]] if short and len(self.choices) > 5 else list(self.choices)
        choices = " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
        bounds = self.interval().removeprefix("of ")
        said = ", ".join(filter(None, [self.meaning, bounds])) + (f": {choices}" if choices else "")
        return said + (f"; None: {self.none}" if self.optional else "")

    def numpydoc(self) -> str:
        """Return the type as written in a docstring, such as ``"float in (0, 1] or None"``."""
        kind = "{" + ", ".join(f'"{name}"' for name in self.choices) + "}" if self.choices else self.kind.__name__
        return f"{kind} {self.interval()}".replace(" of", ",").rstrip() + (" or None" if self.optional else "")

    def check(self, name: str, value: Any) -> Any:
        """Return the value, converted to ``kind``.

        Raises
        ------
        ValueError
            If the value is outside the range; the message names the parameter, the value and the range.
        """
        if value is None and self.optional:
            return None
        if self.kind is bool:
            fits = type(value).__name__ in ("bool", "bool_")  # includes NumPy's bool
        elif self.kind is str:
            fits = value in self.choices if self.choices else isinstance(value, str)
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


def _plain(bound: float) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def whole(low: int = 0, high: int | None = None, **more) -> Range:
    """Allow integers in [low, high]; ``more`` are further fields of `Range`."""
    return Range(int, low, high, **more)


def real(low: float = 0, high: float | None = None, **more) -> Range:
    """Allow numbers in [low, high], or in (low, high] with ``above_low=True``."""
    return Range(float, low, high, **more)


def one_of(*choices: str, **more) -> Range:
    """Allow the given names."""
    return Range(str, choices=choices, **more)


def text(**more) -> Range:
    """Allow any text."""
    return Range(str, **more)


def flag(**more) -> Range:
    """Allow True and False."""
    return Range(bool, **more)


def check(namespace: Mapping[str, Any], **ranges: Range) -> dict[str, Any]:
    """Check a notebook's parameters right after the ``parameters`` cell; return them in the order of ``ranges``.

    Parameters
    ----------
    namespace : mapping
        The notebook's ``globals()``.
    **ranges : Range
        The allowed values of each parameter.

    Raises
    ------
    ValueError
        If papermill injected an unknown name, the notebook does not set a parameter, or a value is outside its range.
        The message lists the valid parameters.
    """
    valid = "\n".join(f"  {name}: {allowed}" for name, allowed in ranges.items())
    unknown = [name for name in _injected(namespace.get("In", ())) if name not in ranges]
    if unknown:
        raise ValueError(f"unknown parameter {', '.join(map(repr, unknown))}; the parameters are\n{valid}")
    if missing := [name for name in ranges if name not in namespace]:
        raise ValueError(f"the notebook does not set {', '.join(missing)}: add it to the parameters\n{valid}")
    try:
        return {name: allowed.check(name, namespace[name]) for name, allowed in ranges.items()}
    except ValueError as error:
        raise ValueError(f"{error}; the parameters are\n{valid}") from None


def _injected(cells: Sequence[str]) -> list[str]:
    """Return the names set in the cells that papermill injects, except for those that --inject-paths adds."""
    injected = [ast.parse(cell) for cell in cells if cell.startswith("# Parameters\n")]
    lines = [line for cell in injected for line in cell.body if isinstance(line, ast.Assign)]
    return [target.id for line in lines for target in line.targets if target.id not in PAPERMILLS]


def alpha_of(clean: float) -> float:
    """Return the default fraction kept: five points below the clean fraction, as in the paper; at least 0.05."""
    return max(round(clean - 0.05, 10), 0.05)


def parameter(
    default: Any, allowed: Range, meaning: str = "", *, none: str = "", more: str = "", earlier: Any = None
) -> Any:
    """Declare a field of `Parameters`.

    Parameters
    ----------
    default : object
        Default value. None, and no other default, makes the field optional: in recorded tables an empty cell means
        None, or that an older run lacks the field.
    allowed : Range
        Allowed values.
    meaning, none : str
        What the parameter is, with its unit, in one phrase; and what None means, by default "set by the scale". Both
        are used in the notebook's comment and in the docstring.
    more : str
        Further sentences, for the docstring only.
    earlier : object, optional
        Value of the runs recorded before the field existed; by default the field's default. It keeps their keys valid
        if the scale sets the field.
    """
    allowed = replace(allowed, optional=default is None, meaning=meaning, none=none or allowed.none)
    absent = default if earlier is None else earlier
    return field(default=default, metadata={"range": allowed, "more": more, "absent": absent})


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """A frozen set of parameters, each checked against its range when constructed.

    A subclass needs ``@dataclass(frozen=True, kw_only=True)`` and fields made by `parameter`; its docstring lists them.
    """

    def __init_subclass__(cls, **options) -> None:
        super().__init_subclass__(**options)
        inherited = {
            name: f for base in cls.__mro__[:0:-1] for name, f in getattr(base, "__dataclass_fields__", {}).items()
        }
        declared = inherited | {name: f for name, f in vars(cls).items() if isinstance(f, Field)}
        if cls.__doc__ and declared:
            cls.__doc__ = f"{inspect.cleandoc(cls.__doc__)}\n\nAttributes\n----------\n{_attributes(declared)}\n"

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, f.metadata["range"].check(f.name, getattr(self, f.name)))

    def filled(self, preset: Mapping[str, Any]) -> Self:
        """Return a copy in which the preset's values replace None."""
        return replace(self, **{name: value for name, value in preset.items() if getattr(self, name) is None})

    def changed(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def named(self) -> dict[str, Any]:
        """Return the fields that a run's key names: those whose value is not what a missing field means."""
        return {name: value for name, value in self.changed().items() if value != self.absent()[name]}

    @classmethod
    def absent(cls) -> dict[str, Any]:
        """Return, for each field, the value of a recorded run that lacks the field."""
        return {f.name: f.metadata["absent"] for f in fields(cls)}

    @classmethod
    def ranges(cls) -> dict[str, Range]:
        """Return the range of each field."""
        return {f.name: f.metadata["range"] for f in fields(cls)}

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """Make the parameters from a notebook's ``globals()``; see `check`."""
        return cls(**check(namespace, **cls.ranges()))


def _attributes(declared: Mapping[str, Field]) -> str:
    lines = []
    for name, f in declared.items():
        allowed = f.metadata["range"]
        said = [allowed.meaning[:1].upper() + allowed.meaning[1:], f"None: {allowed.none}" if allowed.optional else ""]
        lines += [f"{name} : {allowed.numpydoc()}", "    " + " ".join(f"{s}." for s in said if s)]
        lines += [f"    {f.metadata['more']}"] if f.metadata["more"] else []
    return "\n".join(lines)
