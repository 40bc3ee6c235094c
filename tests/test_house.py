"""How the library is built: small modules and functions, private names that stay private, references that hold."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import itlm

HOUSE = Path(itlm.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
ROOMS = sorted(path.parent for path in HOUSE.glob("*/__init__.py"))
HEAVY = ("torch", "sklearn", "scipy", "pandas", "matplotlib", "yaml", "tqdm")


def name_of(path: Path) -> str:
    """The module's name: ``itlm.deep.training``; of an ``__init__.py`` the package's."""
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(HOUSE.parent).parts)


def short(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def is_module(name: str) -> bool:
    place = HOUSE.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions(node: ast.AST):
    return [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def lines_of_code(function) -> int:
    """Lines from the def to the end, the docstring apart."""
    docstring = function.body[0] if ast.get_docstring(function, clean=False) is not None else None
    said = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
    return function.end_lineno - function.lineno + 1 - said


def imports(path: Path):
    """What a file imports of itlm, inside functions too: (module, name or None, name that it is bound to, line)."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "itlm":
                    yield alias.name, None, alias.asname or alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package_of(path).split(".")
            base = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            if module.split(".")[0] == "itlm":
                for alias in node.names:
                    yield module, alias.name, alias.asname or alias.name, node.lineno


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


def home(module: str) -> str:
    """The folder that a module lies in."""
    place = HOUSE.parent.joinpath(*module.split("."))
    return module if place.is_dir() else module.rpartition(".")[0]


# size


@pytest.mark.parametrize("path", FILES, ids=short)
def test_no_module_has_more_than_450_lines(path):
    assert len(path.read_text().splitlines()) <= 450


@pytest.mark.parametrize("path", FILES, ids=short)
def test_no_function_has_more_than_60_lines_of_code(path):
    long = {f.name: n for f in functions(tree(path)) if (n := lines_of_code(f)) > 60}
    assert not long


def test_the_lines_of_a_function_are_counted_without_its_docstring():
    (function,) = functions(
        ast.parse('@decorated\ndef f(a,\n      b):\n    """One.\n\n    Two.\n    """\n    return a\n')
    )
    assert lines_of_code(function) == 3


# privacy


@pytest.mark.parametrize("path", FILES, ids=short)
def test_private_names_are_used_in_their_own_folder_alone(path):
    found, modules = [], {}
    for module, name, bound, line in imports(path):
        full = f"{module}.{name}" if name else module
        if is_module(full):
            modules[bound] = full
            if is_private(full) and home(full) != package_of(path):
                found.append(f"line {line}: {full}")
        elif is_private(full) and home(module) != package_of(path):
            found.append(f"line {line}: {full}")
    for node in ast.walk(tree(path)):  # module._name
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            module = modules.get(ast.unparse(node.value))
            if module and home(module) != package_of(path):
                found.append(f"line {node.lineno}: {module}.{node.attr}")
    assert not found


def test_a_private_name_across_folders_would_be_seen(tmp_path, monkeypatch):
    for name, text in {
        "itlm/__init__.py": "",
        "itlm/a/__init__.py": "",
        "itlm/a/x.py": "from ..b.y import _hidden\nfrom ..b import y\nfrom .z import _mine\nprint(y._hidden, y.seen)\n",
        "itlm/a/z.py": "_mine = 1\n",
        "itlm/b/__init__.py": "",
        "itlm/b/y.py": "_hidden = seen = 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setitem(globals(), "HOUSE", tmp_path / "itlm")
    with pytest.raises(AssertionError, match="line 1: itlm.b.y._hidden.*line 4: itlm.b.y._hidden"):
        test_private_names_are_used_in_their_own_folder_alone(tmp_path / "itlm/a/x.py")


# what importing costs


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("itlm", HEAVY),
        ("itlm.trimming", HEAVY),
        ("itlm.weighted", HEAVY),
        ("itlm.parameters", HEAVY),
        ("itlm.files", HEAVY),
        ("itlm.errors", HEAVY),
        ("itlm.linear", HEAVY),
        ("itlm.audit", HEAVY),
        ("itlm.records", HEAVY),
        ("itlm.deep.images", HEAVY),
        ("itlm.verdicts", HEAVY),
        ("itlm.estimators", ("torch", "matplotlib", "yaml", "tqdm")),  # scikit-learn itself may load pandas
        ("itlm.least_squares", ("torch", "sklearn", "pandas", "matplotlib", "yaml", "tqdm")),
        ("itlm.experiments.synthetic", ("torch", "pandas", "matplotlib", "yaml", "tqdm")),
    ],
)
def test_importing_loads_only_what_is_needed(module, heavy):
    code = f"import sys, {module}; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=HOUSE.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


# what is said


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_the_docstring_of_a_folder_has_at_most_six_lines(room):
    said = ast.get_docstring(tree(room / "__init__.py"))
    assert said and len(said.splitlines()) <= 6


@pytest.mark.parametrize("path", FILES, ids=short)
def test_every_public_name_resolves_and_stands_once(path):
    module = importlib.import_module(name_of(path))
    public = getattr(module, "__all__", [])
    assert len(public) == len(set(public)) and all(hasattr(module, name) for name in public)
    assert not any(is_private(name) for name in public)


@pytest.mark.parametrize("path", FILES, ids=short)
def test_every_reference_to_the_library_leads_somewhere(path):
    """Names in backticks, such as `itlm.deep.training.fit`, in docstrings, comments and texts."""
    for name in sorted(set(re.findall(r"`(itlm(?:\.\w+)+)`", path.read_text()))):
        found, parts = itlm, name.split(".")[1:]
        for number, part in enumerate(parts, 1):
            if not hasattr(found, part) and is_module(".".join(["itlm", *parts[:number]])):
                importlib.import_module(".".join(["itlm", *parts[:number]]))
            assert hasattr(found, part), f"{short(path)} speaks of {name}, which is not there"
            found = getattr(found, part)


def test_the_named_errors_stand_in_one_place():
    defined = {}
    for module in (importlib.import_module(name_of(path)) for path in FILES):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Exception) and value.__module__.startswith("itlm"):
                defined[value.__name__] = value.__module__
    assert set(defined.values()) == {"itlm.errors"} and sorted(defined) == sorted(itlm.errors.__all__)


def test_every_file_is_looked_at():
    found = {module.name for module in pkgutil.walk_packages(itlm.__path__, "itlm.")} | {"itlm"}
    assert found == {name_of(path) for path in FILES}
