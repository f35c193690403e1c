"""Pushes that stop, objects that rot and manifests that are forged: whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sharing_kit import flip, pull, push, read, shown, states, stopping
from versions_kit import add

from local_stack.catalog import call
from local_stack.data.sharing import manifests
from local_stack.errors import Cancelled, ConflictError, DamagedError
from local_stack.stores.artifacts import stored
from local_stack.stores.depots import depot
from local_stack.workspace import Workspace


def test_a_push_that_stops_shows_nothing_half_and_the_next_one_goes_on(
    workspace, other, remote, monkeypatch
):
    monkeypatch.setattr("local_stack.data.sharing.remotes._TICK_SECONDS", 0)
    dice = random.Random(1)
    for n in range(3):
        rows = "\n".join(str(dice.random()) for _ in range(2000))
        add(workspace, "t", f"x{n}\n{rows}\n")
    n_shown = set()
    for _ in stopped(workspace, "data.push", remote):
        assert not list(remote.glob("tmp/*"))
        assert_whole(remote)
        n_shown.add(len(shown(remote)))
    assert n_shown >= {0, 1, 2}
    assert len(shown(remote)) == 3
    for _ in stopped(other, "data.pull", remote):
        for row in other.query("SELECT dataset, version FROM data_versions"):
            read(other, f"t@{row['version']}")
    assert len(other.query("SELECT * FROM data_versions")) == 3
    assert read(other, "t").equals(read(workspace, "t"))


def stopped(workspace: Workspace, verb: str, remote: Path) -> Iterator[None]:
    """Call the verb until it ends, stopped one step later each time; yield after every stop."""
    for after in range(40):
        try:
            call(workspace, verb, {"remote": str(remote)}, progress=stopping(after))
        except Cancelled:
            yield
        else:
            return


def assert_whole(remote: Path) -> None:
    """Check that every manifest has all of its objects, byte for byte."""
    for path in shown(remote):
        manifest = manifests.read(depot(str(remote)), path.relative_to(remote).as_posix())
        assert manifest is not None
        for item in manifest.objects:
            data = (remote / item.key).read_bytes()
            assert hashlib.sha256(data).hexdigest() == item.blob.sha256


def test_an_object_that_vanished_or_rotted_is_refused_and_push_verify_mends_it(
    workspace, other, remote
):
    add(workspace, "a", "x\n1\n")
    add(workspace, "b", "y\n2\n")
    push(workspace, remote)
    table = stored(workspace.query("SELECT * FROM data_versions WHERE dataset = 'a'")[0]["table"])
    place = remote / table[0].key
    for spoil in (Path.unlink, flip):
        spoil(place)
        with pytest.raises(DamagedError, match="1 versions") as caught:
            pull(other, remote)
        assert states(caught.value.result) == [
            "damaged",
            "pulled" if spoil is not flip else "present",
        ]
        assert other.get("datasets", "a") is None
        assert read(other, "b").height == 1
        assert not other.leftovers()
        assert states(push(workspace, remote)) == ["present", "present"]  # not looked at
        mended = push(workspace, remote, verify=True)
        assert (states(mended), mended.objects) == (["pushed", "present"], 1)
    assert states(pull(other, remote)) == ["pulled", "present"]


@pytest.mark.parametrize("n_flips", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_a_tampered_manifest_is_refused_as_a_whole(workspace, remote, n_flips):
    add(workspace, "a", "x\n1\n", tag="t")
    push(workspace, remote)
    (path,) = shown(remote)
    key, data = path.relative_to(remote).as_posix(), path.read_bytes()
    dice = random.Random(n_flips)
    before = manifests.parse(data, key, "remote")
    for _ in range(n_flips):
        spoilt = bytearray(data)
        spoilt[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        with contextlib.suppress(DamagedError):  # else white space, or another spelling
            assert manifests.parse(bytes(spoilt), key, "remote") == before
    for end in (0, 1, len(data) // 2, len(data) - 1):
        with pytest.raises(DamagedError):
            manifests.parse(data[:end], key, "remote")


def test_a_manifest_counts_in_its_own_place_only(workspace, other, remote):
    add(workspace, "a", "x\n1\n")
    push(workspace, remote)
    (path,) = shown(remote)
    for place in (
        path.with_name("0" * 16 + ".json"),
        path.parent.with_name("0" * 32) / path.name,
    ):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())
        with pytest.raises(DamagedError, match="does not belong"):
            pull(other, remote)
        place.unlink()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """The key and the bytes of a whole manifest."""
    folder = tmp_path_factory.mktemp("manifest")
    with Workspace.create(folder / "ws", actor="tester") as workspace:
        add(workspace, "a", "x\n1\n")
        push(workspace, folder / "remote")
    (path,) = shown(folder / "remote")
    return path.relative_to(folder / "remote").as_posix(), path.read_bytes()


def forged(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return a manifest changed by somebody who knows how it is sealed."""
    content = json.loads(data)
    content.pop("sha256")
    change(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return json.dumps({**content, "sha256": hashlib.sha256(text.encode()).hexdigest()}).encode()


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets the member at ``path[:-1]`` to ``path[-1]``."""

    def change(content: dict[str, Any]) -> None:
        *way, last, value = path
        for step in way:
            content = content[step]
        content[last] = value

    return change


EVIL = "../../../../etc/passwd"
BLOB = {"md5": "0" * 32, "sha256": "0" * 64, "size": 1}


@pytest.mark.parametrize(
    "change",
    [
        put("dataset", EVIL),
        put("dataset", "a@b"),
        put("dataset", "a\x1b[2J"),
        put("dataset", 5),
        put("version", EVIL),
        put("version", "A" * 16),
        put("number", -1),
        put("number", True),
        put("format", 2),
        put("kind", "other"),
        put("tags", [EVIL]),
        put("tags", "golden"),
        put("tags", ["\x1b]0;x\x07"]),
        put("pushed", None),
        put("record", None),
        put("record", "table", None),
        put("record", "table", "md5", EVIL),
        put("record", "table", "md5", "ab"),
        put("record", "table", "sha256", "x" * 64),
        put("record", "table", "size", -1),
        put("record", "original", {"manifest": BLOB, "members": {EVIL: BLOB}}),
        put("record", "original", {"manifest": BLOB, "members": {"/etc/passwd": BLOB}}),
        put("record", "original", {"manifest": BLOB, "members": {"a": {**BLOB, "md5": EVIL}}}),
        put("record", "n_rows", "many"),
        put("record", "n_rows", 10**30),
        put("record", "columns", []),
        put("record", "columns", [{"name": "x", "type": "pickle", "nullable": True}]),
        put("record", "columns", [{"name": "x", "type": "long", "nullable": True, "y": 1}]),
        put("record", "warnings", [1]),
        put("record", "lineage", []),
        put("record", "created_at", "soon"),
        put("record", "source", {"x": 1}),
        put("head", "target", 5),
        put("head", "keys", [5]),
        put("contract", {"document": 1, "actor": "x", "created_at": "x"}),
    ],
)
def test_a_forged_manifest_is_refused_although_its_seal_holds(manifest, change):
    key, data = manifest
    assert manifests.parse(forged(data, lambda content: None), key, "remote").dataset == "a"
    with pytest.raises(DamagedError):
        manifests.parse(forged(data, change), key, "remote")


def test_nothing_of_a_forged_manifest_is_taken(workspace, other, remote):
    add(workspace, "a", "x\n1\n")
    push(workspace, remote)
    (path,) = shown(remote)
    path.chmod(0o600)
    path.write_bytes(forged(path.read_bytes(), put("record", "table", "md5", EVIL)))
    with pytest.raises(DamagedError) as caught:
        pull(other, remote)
    assert states(caught.value.result) == ["damaged"]
    assert other.query("SELECT * FROM data_versions") == []
    assert other.query("SELECT * FROM datasets") == []


def test_a_forged_manifest_of_bombs_is_bounded(workspace, other, remote):
    add(workspace, "a", "x\n1\n")
    push(workspace, remote)
    (path,) = shown(remote)
    path.chmod(0o600)
    for data in (b"[" * 100_000, b'{"sha256": 1e400}', b'{"x": ' + b"9" * 5000 + b"}", b"\xff"):
        path.write_bytes(data)
        with pytest.raises(DamagedError):
            pull(other, remote)
    path.write_bytes(b" " * (manifests.MAX_BYTES + 10))
    with pytest.raises(DamagedError, match="larger than"):
        pull(other, remote)


def test_a_contract_that_is_none_is_not_taken(workspace, other, remote):
    add(workspace, "t", "x\n1\n")
    call(workspace, "data.contract", {"name": "t", "infer": True})
    push(workspace, remote)
    (path,) = shown(remote)
    path.chmod(0o600)
    whole = path.read_bytes()
    for change in (
        put("contract", "document", {"columns": {"x": {"colour": "red"}}}),
        put("contract", "text", "columns: {x: {type: string}}"),
        put("contract", "text", "&a [*a"),
    ):
        path.write_bytes(forged(whole, change))
        with pytest.raises(ConflictError, match="not one that can be read"):
            pull(other, remote)
        assert other.query("SELECT * FROM contracts") == []
    path.write_bytes(whole)
    assert states(pull(other, remote)) == ["updated"]


def test_a_damaged_object_is_not_pushed_and_the_others_are(workspace, remote):
    add(workspace, "a", "x\n1\n")
    add(workspace, "b", "y\n2\n")
    (item,) = stored(workspace.query("SELECT * FROM data_versions WHERE dataset = 'a'")[0]["table"])
    flip(workspace.artifacts.path(item.blob))
    with pytest.raises(DamagedError) as caught:
        push(workspace, remote)
    assert states(caught.value.result) == ["damaged", "pushed"]
    assert len(shown(remote)) == 1
