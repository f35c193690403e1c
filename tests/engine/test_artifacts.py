"""Artefacts on a disk: whole or absent, refused when tampered with, and never outside."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.errors import (
    DamagedError,
    InputError,
    NotFoundError,
    StackError,
    UnavailableError,
)
from local_stack.stores import artifacts as module
from local_stack.stores.artifacts import Artifacts, Blob, Tree, fetch


@pytest.fixture
def store(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "objects"), tmp_path / "cache")


def objects(root: Path) -> dict[str, Path]:
    """Every visible object by the MD5 that its place claims."""
    found = (root / "files" / "md5").glob("??/*")
    return {path.parent.name + path.name.removesuffix(".dir"): path for path in found}


def test_a_file_lies_where_dvc_looks_for_it(store, tmp_path):
    source = tmp_path / "a.bin"
    source.write_bytes(b"hello")
    blob = store.put_file(source)
    place = tmp_path / "objects/files/md5/5d/41402abc4b2a76b9719d911017c592"  # md5("hello")
    assert place.read_bytes() == b"hello"
    assert blob == Blob("5d41402abc4b2a76b9719d911017c592", hashlib.sha256(b"hello").hexdigest(), 5)
    assert (store.path(blob), store.read(blob), store.uri(blob)) == (place, b"hello", str(place))
    assert store.has(blob)
    assert stat.S_IMODE(place.stat().st_mode) == 0o400
    assert Blob.of(json.loads(json.dumps(blob.to_dict()))) == blob
    assert store.leftovers() == []


def test_storing_again_is_free(store):
    blob = store.put_bytes(b"x" * 3_000_000)
    before = store.path(blob).stat()
    assert store.put_bytes(b"x" * 3_000_000) == blob
    after = store.path(blob).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_folder_is_a_manifest_as_dvc_writes_it(store, tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    contents = {"b.txt": b"2", "sub/a.txt": b"1", "sub-a.txt": b"3", "empty": b""}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    tree = store.put_tree(folder)
    entries = [
        {"md5": hashlib.md5(contents[name]).hexdigest(), "relpath": name}
        for name in sorted(contents)
    ]
    written = json.dumps(entries, sort_keys=True).encode()
    digest = hashlib.md5(written).hexdigest()
    assert tree.manifest.md5 == digest
    place = tmp_path / f"objects/files/md5/{digest[:2]}/{digest[2:]}.dir"
    assert place.read_bytes() == written
    assert Tree.of(json.loads(json.dumps(tree.to_dict()))) == tree
    out = store.checkout(tree, tmp_path / "out")
    assert {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.*")} == {
        name: data for name, data in contents.items() if "." in name
    }
    assert (out / "empty").read_bytes() == b""


def test_the_manifest_has_the_address_that_dvc_documents():
    """The example of https://dvc.org/doc/user-guide/project-structure/internal-files."""
    entries = [
        {"md5": "dff70c0392d7d386c39a23c64fcc0376", "relpath": "cat.jpeg"},
        {"md5": "29a6c8271c0c8fbf75d3b97aecee589f", "relpath": "index.jpeg"},
    ]
    assert hashlib.md5(json.dumps(entries).encode()).hexdigest() == (
        "196a322c107c2572335158503c64bfba"
    )


def test_a_missing_object_is_not_found(store):
    blob = store.put_bytes(b"x")
    store.path(blob).unlink()
    assert not store.has(blob)
    with pytest.raises(NotFoundError, match=blob.md5):
        store.read(blob)


@pytest.mark.parametrize("n_flips", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_a_tampered_object_is_refused_and_storing_it_again_mends_it(store, n_flips):
    dice = random.Random(n_flips)
    data = dice.randbytes(50_000)
    blob = store.put_bytes(data)
    place = store.path(blob)
    place.chmod(0o600)
    for _ in range(n_flips):
        at = dice.randrange(len(data))
        place.write_bytes(data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :])
        with pytest.raises(DamagedError) as caught:
            store.read(blob)
        assert (caught.value.exit_code, caught.value.details["expected"]) == (4, blob.sha256)
    assert store.put_bytes(data) == blob
    assert store.read(blob) == data


def test_a_tampered_member_is_refused_before_it_is_written(store, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.txt").write_bytes(b"tree")
    tree = store.put_tree(folder)
    place = store.path(tree.members["model.txt"])
    place.chmod(0o600)
    place.write_bytes(b"TREE")
    with pytest.raises(DamagedError):
        store.checkout(tree, tmp_path / "out")
    assert not (tmp_path / "out" / "model.txt").exists()


def test_a_source_that_changes_while_it_is_read_is_refused(store):
    changing = Path("/proc/sys/kernel/random/uuid")  # other bytes at every reading
    with pytest.raises(InputError, match="changed while it was read"):
        store.put_file(changing)
    assert objects(Path(store.url)) == {}
    assert store.leftovers() == []


PUBLISHER = """
    import os, random, sys
    from pathlib import Path
    from local_stack.stores.artifacts import Artifacts

    store = Artifacts(sys.argv[1], Path(sys.argv[1]).parent / "cache")
    out = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    dice = random.Random(sys.argv[2])
    while True:
        blob = store.put_bytes(dice.randbytes(dice.choice((100, 2_000_000, 9_000_000))))
        os.write(out, f"{blob.md5}\\n".encode())
"""


@pytest.mark.parametrize("n_kills", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_a_killed_publisher_leaves_whole_objects_only(store, tmp_path, n_kills):
    dice = random.Random(n_kills)
    root, acks, n_objects = Path(store.url), [], 0
    while len(acks) < n_kills:
        names = [tmp_path / f"ack-{len(acks) + k}" for k in range(min(2, n_kills - len(acks)))]
        words = [sys.executable, "-c", textwrap.dedent(PUBLISHER), str(root)]
        processes = [subprocess.Popen([*words, str(name)]) for name in names]
        deadline = time.monotonic() + 60
        while not all(name.exists() and name.stat().st_size for name in names):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for process in processes:
            time.sleep(dice.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            process.wait()
        acks += names
        visible = objects(root)
        for claimed, path in visible.items():
            assert hashlib.md5(path.read_bytes()).hexdigest() == claimed
            path.chmod(0o600)
        for name in names:
            assert set(name.read_text().split("\n")[:-1]) <= set(visible)
        n_objects += len(visible)
        for path in visible.values():
            path.unlink()
    assert n_objects >= n_kills


class Faulty:
    """The ``os`` module whose n-th fsync or open fails as a disk does."""

    def __init__(self, n: int) -> None:
        self.left = n

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if name not in ("fsync", "open", "fdopen"):
            return real

        def faulty(*arguments: object) -> object:
            self.tick()
            return real(*arguments)

        return faulty


def test_a_fault_at_any_call_leaves_an_object_whole_or_absent(store, monkeypatch):
    root, replace = Path(store.url), Path.replace
    store.put_bytes(b"first")
    for n in range(1, 30):
        fault, data = Faulty(n), b"%d" % n * 1000

        def faulty_replace(path: Path, target: Path, fault: Faulty = fault) -> Path:
            fault.tick()
            return replace(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(module, "os", fault)
            patch.setattr(Path, "replace", faulty_replace)
            try:
                store.put_bytes(data)
            except (OSError, StackError):
                assert fault.left == 0
        for claimed, path in objects(root).items():
            assert hashlib.md5(path.read_bytes()).hexdigest() == claimed
        assert store.leftovers() == []
        assert store.read(store.put_bytes(data)) == data
        if fault.left > 0:
            break
    assert 4 < n < 29


def test_a_file_size_limit_leaves_nothing(store, tmp_path):
    script = """
        import resource, sys
        from pathlib import Path
        from local_stack.stores.artifacts import Artifacts

        store = Artifacts(sys.argv[1], Path(sys.argv[1]))
        source = Path(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
        try:
            store.put_file(source)
        except OSError as error:
            print(error.strerror)
        assert store.leftovers() == []
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        print(store.has(store.put_file(source)))
    """
    source = tmp_path / "big"
    source.write_bytes(bytes(4_000_000))
    words = [sys.executable, "-c", textwrap.dedent(script), store.url, str(source)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (ended.stdout.split("\n")[:2], ended.stderr) == (["File too large", "True"], "")


PARTS = ("..", ".", "a", "b.txt", "~", "", " ", "\\", "c:", "http:", "%2e%2e", "#", "?", "\0")
PARTS += ("x" * 300, "\u202etxt", "é", "link", "loop", "\ud800", "\udcff", "file://", "-", "\n")
segments = st.sampled_from(PARTS) | st.text(max_size=6)
paths = st.builds(
    lambda lead, parts: lead + "/".join(parts),
    st.sampled_from(["", "/", "//", "./", "../"]),
    st.lists(segments, max_size=5),
)


def check_name(base: Path, name: str) -> None:
    """Check ``name`` out as a member: it is refused, or its bytes lie in the folder."""
    store = Artifacts(str(base / "objects"), base / "cache")
    folder = base / "out"
    folder.mkdir(parents=True, exist_ok=True)
    outside = base / "outside"
    outside.mkdir(exist_ok=True)
    for link, target in (("link", outside), ("loop", folder / "loop")):
        if not (folder / link).is_symlink():
            (folder / link).symlink_to(target)
    blob = store.put_bytes(b"data")
    try:
        store.checkout(Tree(blob, {name: blob}), folder)
    except (InputError, IsADirectoryError, FileExistsError, NotADirectoryError):
        pass  # refused, or the name is a folder already
    else:
        assert (folder / name).resolve().is_relative_to(folder.resolve())
        assert (folder / name).read_bytes() == b"data"
    assert list(outside.iterdir()) == []
    assert {path.name for path in base.iterdir()} <= {"objects", "out", "outside", "cache"}


@settings(max_examples=200)
@given(name=paths)
def test_no_member_name_leaves_the_folder(tmp_path_factory, name):
    check_name(tmp_path_factory.getbasetemp() / "names", name)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(name=paths)
def test_no_member_name_leaves_the_folder_in_ten_thousand(tmp_path_factory, name):
    check_name(tmp_path_factory.getbasetemp() / "many-names", name)


@pytest.mark.parametrize("name", ["a#b", "a%2eb", "a?b", "a:b"])
def test_a_folder_that_could_not_come_back_is_refused_before_it_is_stored(store, tmp_path, name):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "0.txt").write_text("fine")
    (folder / name).write_text("not")
    with pytest.raises(InputError):
        store.put_tree(folder)
    assert objects(Path(store.url)) == {}


def test_a_link_that_leads_out_is_not_stored(store, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folder / "model.txt").symlink_to(secret)
    with pytest.raises(InputError, match="leads out"):
        store.put_tree(folder)
    assert objects(Path(store.url)) == {}


def test_sources_are_files_urls_or_a_sentence(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\n1\n")
    assert fetch(str(path), tmp_path / "copy") == path
    assert fetch(path.as_uri(), tmp_path / "copy").read_bytes() == b"a\n1\n"
    with pytest.raises(NotFoundError, match="no file"):
        fetch(str(tmp_path / "absent.csv"), tmp_path / "copy")
    with pytest.raises(NotFoundError, match="nothing at"):
        fetch((tmp_path / "absent.csv").as_uri(), tmp_path / "copy")
    with pytest.raises(InputError, match="folder"):
        fetch(str(tmp_path), tmp_path / "copy")
    with pytest.raises((InputError, UnavailableError)):
        fetch("nosuchscheme://a/b", tmp_path / "copy")
