"""Parameters are checked by name, and said once: the docstring and the notebook's comments come from the fields."""

from dataclasses import FrozenInstanceError, dataclass

import pytest

from itlm.parameters import Parameters, Range, alpha_of, check, flag, one_of, parameter, real, text, whole


@dataclass(frozen=True, kw_only=True)
class Example(Parameters):
    """One run."""

    alpha: float = parameter(0.5, real(0, 1, above_low=True), "fraction kept")
    n: int | None = parameter(None, whole(1, 10), "samples", none="all of them")
    noise: str = parameter("random", one_of("random", "systematic"), "label errors", more="Systematic: a becomes b.")
    tanh: bool = parameter(True, flag(), "whether logits are bounded")


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


@pytest.mark.parametrize("option", ["--inject-paths", "--inject-input-path", "--inject-output-path"])
def test_the_paths_that_papermill_injects_are_no_unknown_parameters(tmp_path, option):
    cli, nbformat, testing = map(pytest.importorskip, ("papermill.cli", "nbformat", "click.testing"))
    first = nbformat.v4.new_code_cell(
        "alpha, n, noise, tanh = 0.5, None, 'random', True", metadata={"tags": ["parameters"]}
    )
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[first], metadata={"kernelspec": kernel}), source)
    asked = [str(source), str(target), option, "-p", "alpha", "0.3", "--prepare-only"]
    done = testing.CliRunner().invoke(cli.papermill, asked)
    assert done.exit_code == 0, done.output
    cells = [cell.source for cell in nbformat.read(target, 4).cells]
    namespace = {"In": ["", *cells]}
    for cell in cells:
        exec(cell, namespace)
    assert "PAPERMILL_" in cells[1] and Example.from_notebook(namespace) == Example(alpha=0.3)


def test_a_parameter_that_the_notebook_lacks_is_named():
    with pytest.raises(ValueError, match="(?s)the notebook does not set n, tanh: add it to the .*noise: one of"):
        Example.from_notebook({"alpha": 0.5, "noise": "random"})


def test_an_injected_value_must_be_in_range_and_all_are_listed():
    with pytest.raises(ValueError, match="(?s)noise must be one of .* got 'x'; the parameters are.*alpha: a number"):
        check({**NOTEBOOK, "noise": "x"}, alpha=real(), noise=one_of("random"))


# what is said of a field


def test_the_docstring_lists_each_field_with_its_type_range_meaning_and_what_none_is():
    assert Example.__doc__ == (
        "One run.\n\nAttributes\n----------\n"
        "alpha : float in (0, 1]\n    Fraction kept.\n"
        "n : int in [1, 10] or None\n    Samples. None: all of them.\n"
        'noise : {"random", "systematic"}\n    Label errors.\n    Systematic: a becomes b.\n'
        "tanh : bool\n    Whether logits are bounded.\n"
    )


def test_a_subclass_lists_what_it_has_inherited_and_its_own_word_for_a_field_counts():
    @dataclass(frozen=True, kw_only=True)
    class Further(Example):
        """A run with a rate."""

        lr: float | None = parameter(None, real(0), "learning rate")
        n: int = parameter(3, whole(1), "images")

    said = Further.__doc__
    assert said.startswith("A run with a rate.\n\nAttributes\n") and said.count("----------") == 1
    assert [line.split(" :")[0] for line in said.splitlines() if " : " in line] == ["alpha", "n", "noise", "tanh", "lr"]
    assert "n : int, at least 1\n    Images.\n" in said
    assert "lr : float, at least 0 or None\n    Learning rate. None: set by the scale.\n" in said
    assert "Attributes" in Example.__doc__ and "lr" not in Example.__doc__


def test_a_class_without_a_docstring_or_without_fields_gets_no_section():
    class Nothing(Parameters):
        """No fields."""

    class Silent(Parameters):
        n: int = parameter(1, whole(), "samples")

    assert Nothing.__doc__ == "No fields." and "Attributes" not in (Silent.__doc__ or "")


@pytest.mark.parametrize(
    ("field", "comment", "numpydoc"),
    [
        (parameter(0.5, real(0, 1, above_low=True), "fraction kept"), "fraction kept, in (0, 1]", "float in (0, 1]"),
        (parameter(None, whole(1, 10), "samples"), "samples, in [1, 10]; None: set by the scale",
         "int in [1, 10] or None"),
        (parameter(None, whole(), "seed", none="drawn"), "seed, at least 0; None: drawn", "int, at least 0 or None"),
        (parameter(1.0, real(0, above_low=True), "step size"), "step size, above 0", "float above 0"),
        (parameter(0.0, Range(float), "shift"), "shift", "float"),
        (parameter("a", one_of("a", "b", "c"), "rule"), 'rule: a, b or c', '{"a", "b", "c"}'),
        (parameter("a", one_of("a"), "rule"), 'rule: a', '{"a"}'),
        (parameter(None, one_of("a", "b"), "rule"), 'rule: a or b; None: set by the scale', '{"a", "b"} or None'),
        (parameter("", text(), "path"), "path", "str"),
        (parameter(False, flag(), "whether to trim"), "whether to trim", "bool"),
        (parameter(None, flag(), "whether to trim"), "whether to trim; None: set by the scale", "bool or None"),
        (parameter(3, whole(), ""), "at least 0", "int, at least 0"),
    ],
)  # fmt: skip
def test_a_comment_says_meaning_range_and_none_and_numpydoc_says_the_type(field, comment, numpydoc):
    allowed = field.metadata["range"]
    assert (allowed.comment(), allowed.numpydoc()) == (comment, numpydoc)


def test_a_default_of_none_makes_a_field_optional_and_no_other_default_does():
    assert [allowed.optional for allowed in Example.ranges().values()] == [False, True, False, False]
    assert not parameter(1, whole(optional=True)).metadata["range"].optional  # a table's empty cell is a default too


def test_the_ranges_are_those_of_the_fields_in_their_order():
    ranges = Example.ranges()
    assert list(ranges) == ["alpha", "n", "noise", "tanh"]
    assert (str(ranges["n"]), ranges["n"].meaning, ranges["n"].none) == (
        "an integer in [1, 10] or None", "samples", "all of them")  # fmt: skip


# copies


def test_what_is_none_is_filled_in_and_what_was_given_stays():
    assert Example().filled({"n": 7, "alpha": 0.9}) == Example(n=7)
    assert Example(n=2).filled({"n": 7}) == Example(n=2)
    with pytest.raises(ValueError, match=r"n must be an integer in \[1, 10\] or None, got 70"):
        Example().filled({"n": 70})


def test_what_differs_from_the_defaults_is_told():
    assert Example().changed() == {} and Example(alpha=0.5, n=3, tanh=False).changed() == {"n": 3, "tanh": False}


@pytest.mark.parametrize(("clean", "alpha"), [(0.6, 0.55), (1, 0.95), (0.3, 0.25), (0.05, 0.05), (0, 0.05)])
def test_alpha_is_five_points_below_what_is_clean_and_at_least_five(clean, alpha):
    assert alpha_of(clean) == alpha


def test_a_short_comment_leaves_out_names_in_the_middle():
    assert one_of(*"abcdefg", meaning="rule").comment(short=True) == "rule: a, b, c, ... or g"
    assert one_of(*"abc", meaning="rule").comment(short=True) == "rule: a, b or c"


def test_text_may_be_anything_but_a_number():
    assert text().check("path", "a b") == "a b" and text().check("path", "") == ""
    with pytest.raises(ValueError, match="path must be text, got 5"):
        text().check("path", 5)
