"""Push and pull: versions travel whole or not at all, and what is otherwise is told."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars
import pytest
from s3_kit import BUCKET, client

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.data.pulling import Pulled
from local_stack.data.pushing import Pushed
from local_stack.data.sharing import manifests
from local_stack.errors import (
    Cancelled,
    ConflictError,
    DamagedError,
    InputError,
    NotFoundError,
    UnavailableError,
)
from local_stack.progress import Step
from local_stack.stores.artifacts import stored
from local_stack.stores.depots import depot
from local_stack.workspace import Workspace


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "other", actor="reader") as opened:
        yield opened


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return tmp_path / "remote"


def add(workspace: Workspace, name: str, text: str, **options: Any) -> versions.DataVersion:
    path = workspace.root.parent / f"{name}.csv"
    path.write_text(text)
    found = call(workspace, "data.add", {"name": name, "source": str(path), **options})
    assert isinstance(found, versions.DataVersion)
    return found


def push(workspace: Workspace, remote: Path | str, **options: Any) -> Pushed:
    found = call(workspace, "data.push", {"remote": str(remote), **options})
    assert isinstance(found, Pushed)
    return found


def pull(workspace: Workspace, remote: Path | str, **options: Any) -> Pulled:
    found = call(workspace, "data.pull", {"remote": str(remote), **options})
    assert isinstance(found, Pulled)
    return found


def states(result: Pushed | Pulled) -> list[str]:
    return [version.state for version in result.versions]


def read(workspace: Workspace, reference: str) -> polars.DataFrame:
    return versions.read(workspace, versions.find(workspace, reference))


def objects(remote: Path) -> list[Path]:
    return sorted(p for p in (remote / "files" / "md5").rglob("*") if p.is_file())


def shown(remote: Path) -> list[Path]:
    return sorted((remote / "paceml" / "data").rglob("*.json"))


def test_what_is_pushed_is_pulled_with_all_that_is_known_of_it(workspace, other, remote):
    first = add(workspace, "wine", "id,q\n1,5\n2,6\n", target="q", key=["id"], note="raw")
    call(workspace, "data.contract", {"name": "wine", "infer": True})
    last = add(workspace, "wine", "id,q\n1,5\n2,6\n3,7\n", tag="golden")
    pushed = push(workspace, remote)
    assert (states(pushed), pushed.n_changed, pushed.objects) == (["pushed", "pushed"], 2, 4)
    assert pushed.bytes == sum(path.stat().st_size for path in objects(remote))
    pulled = pull(other, remote)
    assert (states(pulled), pulled.objects, pulled.bytes) == (["pulled"] * 2, 4, pushed.bytes)
    found = versions.find(other, "wine@golden")
    assert (found.version, found.number, found.target) == (last.version, 2, "q")
    assert (found.actor, found.created_at) == ("tester", last.created_at)
    assert found.lineage["pulled"]["remote"] == str(remote)
    assert found.lineage["pulled"]["pushed"]["actor"] == "tester"
    assert versions.find(other, "wine").version == last.version
    assert versions.find(other, f"wine@{first.version}").note == "raw"
    assert other.get("datasets", "wine")["keys"] == ["id"]
    for reference in (f"wine@{first.version}", "wine@golden"):
        assert read(other, reference).equals(read(workspace, reference))
    document = workspace.get("contracts", "wine", 1)["document"]
    assert other.get("contracts", "wine", 1)["document"] == document
    (event,) = other.query("SELECT * FROM events WHERE kind = 'data.pulled' ORDER BY seq LIMIT 1")
    assert event["body"]["remote"] == str(remote)
    assert event["actor"] == "reader"


def test_the_layout_is_that_of_dvc_3_and_holds_no_text_of_a_user(workspace, remote):
    added = add(workspace, "wine", "a\n1\n", tag="so very secret")
    push(workspace, remote)
    for path in objects(remote):
        named = path.parent.name + path.name
        assert hashlib.md5(path.read_bytes()).hexdigest() == named
    (manifest,) = shown(remote)
    folder = hashlib.sha256(b"wine").hexdigest()[:32]
    assert manifest.relative_to(remote) == Path(f"paceml/data/{folder}/{added.version}.json")
    names = " ".join(str(p.relative_to(remote)) for p in remote.rglob("*"))
    assert "wine" not in names
    assert "secret" not in names


def test_a_second_push_and_a_second_pull_do_nothing(workspace, other, remote):
    add(workspace, "wine", "a\n1\n")
    push(workspace, remote)
    n_events = workspace.query("SELECT count(*) AS n FROM events WHERE kind LIKE 'data.%'")
    again = push(workspace, remote)
    assert (states(again), again.objects, again.n_present) == (["present"], 0, 1)
    assert workspace.query("SELECT count(*) AS n FROM events WHERE kind LIKE 'data.%'") == n_events
    pull(other, remote)
    assert (states(pull(other, remote)), pull(other, remote).bytes) == (["present"], 0)
    back = pull(workspace, remote)
    assert states(back) == ["present"]


def test_only_what_is_named_travels(workspace, other, remote):
    first = add(workspace, "a", "x\n1\n", tag="old")
    add(workspace, "a", "x\n2\n")
    add(workspace, "b", "x\n1\n2\n")
    assert len(push(workspace, remote, name=["a@old"]).versions) == 1
    assert states(push(workspace, remote)) == ["present", "pushed", "pushed"]
    assert [v.dataset for v in pull(other, remote, name=["b"]).versions] == ["b"]
    assert [v.version for v in pull(other, remote, name=["a@old"]).versions] == [first.version]
    short = pull(other, remote, name=[f"a@{first.version[:6]}"])
    assert [v.version for v in short.versions] == [first.version]
    here = pull(other, remote, name=["a@1"])  # by its number in this workspace
    assert [v.version for v in here.versions] == [first.version]
    with pytest.raises(NotFoundError, match="no data set 'bb'") as caught:
        pull(other, remote, name=["bb"])
    assert "'b'" in caught.value.hint
    with pytest.raises(NotFoundError, match="no version or tag 'new'"):
        pull(other, remote, name=["a@new"])
    with pytest.raises(NotFoundError, match="no data set 'c'"):
        push(workspace, remote, name=["c"])


def test_the_remote_may_stand_in_the_settings(workspace, other, remote, monkeypatch):
    with pytest.raises(InputError, match="no remote"):
        call(workspace, "data.push", {})
    add(workspace, "a", "x\n1\n")
    monkeypatch.setenv("PACEML_DATA_REMOTE", str(remote))
    with Workspace.open(workspace.root) as opened:
        assert states(call(opened, "data.push", {})) == ["pushed"]
    with Workspace.open(other.root) as opened:
        assert states(call(opened, "data.pull", {})) == ["pulled"]


def test_a_remote_that_is_a_file_or_nothing_is_a_sentence(workspace, tmp_path):
    add(workspace, "a", "x\n1\n")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="is a file"):
        push(workspace, file)
    with pytest.raises((InputError, UnavailableError)):
        push(workspace, "nosuchscheme://x")
    assert pull(workspace, tmp_path / "empty").versions == ()


def stopping(after: int) -> Callable[[Step], None]:
    """Return a progress callable that cancels at the step after so many."""
    left = [after]

    def progress(step: Step) -> None:
        if step.label.startswith(("Pushing", "Pulling")):
            left[0] -= 1
            if left[0] < 0:
                raise Cancelled()

    return progress


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


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


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


def test_a_tag_that_is_elsewhere_is_told_and_moved_only_by_force(workspace, other, remote):
    first = add(workspace, "t", "x\n1\n", tag="golden")
    push(workspace, remote)
    pull(other, remote)
    mine = add(other, "t", "x\n3\n", tag="golden")
    with pytest.raises(ConflictError, match="'golden'") as caught:
        push(other, remote)
    assert (caught.value.exit_code, states(caught.value.result)) == (2, ["present", "conflict"])
    assert {v.version: v.objects for v in caught.value.result.versions}[mine.version] == 2
    # The version is there all the same; its tag is not.
    theirs = Workspace.create(other.root.parent / "third")
    assert states(pull(theirs, remote)) == ["pulled", "pulled"]
    assert versions.find(theirs, "t@golden").version == first.version
    assert states(push(other, remote, force=True)) == ["present", "updated"]
    with pytest.raises(ConflictError, match="golden") as caught:
        pull(theirs, remote)
    assert versions.find(theirs, "t@golden").version == first.version
    assert states(pull(theirs, remote, force=True)) == ["present", "updated"]
    assert versions.find(theirs, "t@golden").version == mine.version
    theirs.close()


def test_new_tags_join_those_that_are_there(workspace, other, remote):
    version = add(workspace, "t", "x\n1\n", tag="one")
    push(workspace, remote)
    pull(other, remote)
    call(other, "data.tag", {"name": f"t@{version.version}", "tag": "two"})
    assert states(push(other, remote)) == ["updated"]
    assert states(pull(workspace, remote)) == ["updated"]
    assert versions.find(workspace, "t").tags == ("one", "two")


def test_what_is_known_of_a_data_set_is_kept_where_it_is_otherwise(workspace, other, remote):
    add(workspace, "t", "x,y\n1,2\n", target="x")
    call(workspace, "data.contract", {"name": "t", "infer": True})
    push(workspace, remote)
    add(other, "t", "x,y\n1,2\n", target="y")
    with pytest.raises(ConflictError, match="target is x, here it is y"):
        pull(other, remote)
    assert other.get("datasets", "t")["target"] == "y"
    assert other.get("contracts", "t", 1) is not None  # there was none here
    assert states(pull(other, remote, force=True)) == ["updated"]
    assert other.get("datasets", "t")["target"] == "x"


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


def test_the_newest_version_stays_the_newest_whatever_comes_later(workspace, other, remote):
    add(workspace, "t", "x\n1\n")
    push(workspace, remote)
    mine = add(other, "t", "x\n2\n")
    pull(other, remote)
    assert versions.find(other, "t").version == mine.version
    assert [r["number"] for r in other.query("SELECT number FROM data_versions ORDER BY 1")] == [
        1,
        2,
    ]


def test_a_folder_of_files_travels_with_its_manifest(workspace, other, remote, tmp_path):
    folder = tmp_path / "many"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.csv").write_text("x\n1\n")
    (folder / "sub" / "b.csv").write_text("x\n2\n")
    tree = workspace.artifacts.put_tree(folder)
    added = add(workspace, "t", "x\n1\n2\n")
    row = {**workspace.get("data_versions", "t", added.version), "original": tree.to_dict()}
    from local_stack.stores.journal import Draft

    workspace.append(lambda _: Draft("data.added", "data:t", {}, [("data_versions", row)]))
    assert push(workspace, remote).objects == 4  # two files, the folder's manifest, the table
    key = f"files/md5/{tree.manifest.md5[:2]}/{tree.manifest.md5[2:]}.dir"
    assert json.loads((remote / key).read_bytes()) == [
        {"md5": hashlib.md5(data).hexdigest(), "relpath": name}
        for name, data in (("a.csv", b"x\n1\n"), ("sub/b.csv", b"x\n2\n"))
    ]
    assert pull(other, remote).objects == 4
    out = other.artifacts.checkout(tree, tmp_path / "out")
    assert (out / "sub" / "b.csv").read_text() == "x\n2\n"
    assert other.artifacts.holds(stored(tree.to_dict())[-1])


def test_a_damaged_object_is_not_pushed_and_the_others_are(workspace, remote):
    add(workspace, "a", "x\n1\n")
    add(workspace, "b", "y\n2\n")
    (item,) = stored(workspace.query("SELECT * FROM data_versions WHERE dataset = 'a'")[0]["table"])
    flip(workspace.artifacts.path(item.blob))
    with pytest.raises(DamagedError) as caught:
        push(workspace, remote)
    assert states(caught.value.result) == ["damaged", "pushed"]
    assert len(shown(remote)) == 1


def test_what_is_shared_has_the_permissions_of_the_folder_it_is_shared_in(workspace, tmp_path):
    remote = tmp_path / "team"
    remote.mkdir()
    remote.chmod(0o775)
    add(workspace, "a", "x\n1\n")
    push(workspace, remote)
    for path in remote.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o775 if path.is_dir() else 0o444), path
    private = tmp_path / "private"
    push(workspace, private)
    assert {stat.S_IMODE(p.stat().st_mode) for p in private.rglob("*")} == {0o700, 0o400}


@pytest.fixture
def bucket(s3_environment: dict[str, str], tmp_path: Path) -> str:
    return f"s3://{BUCKET}/{tmp_path.name}"


def keys(server: Any, url: str) -> list[str]:
    root = url.removeprefix("s3://")
    return sorted(p.removeprefix(f"{root}/") for p in client(server.url).find(root))


def test_a_bucket_is_a_remote(workspace, other, bucket, s3_server):
    add(workspace, "wine", "a,b\n1,x\n2,y\n", tag="golden")
    pushed = push(workspace, bucket)
    assert (states(pushed), pushed.objects) == (["pushed"], 2)
    assert states(push(workspace, bucket)) == ["present"]
    assert states(pull(other, bucket)) == ["pulled"]
    assert read(other, "wine@golden").equals(read(workspace, "wine"))
    places = [key for key in keys(s3_server, bucket) if key.startswith("files/md5/")]
    root = bucket.removeprefix("s3://")
    files = client(s3_server.url)
    data = files.cat_file(f"{root}/{places[0]}")
    files.pipe_file(f"{root}/{places[0]}", bytes([data[0] ^ 1]) + data[1:])
    mended = push(workspace, bucket, verify=True)
    assert (states(mended), mended.objects) == (["pushed"], 1)
    files.rm_file(f"{root}/{places[1]}")
    with Workspace.create(other.root.parent / "third") as third:
        with pytest.raises(DamagedError):
            pull(third, bucket)
        assert third.query("SELECT * FROM data_versions") == []
        push(workspace, bucket, verify=True)
        assert states(pull(third, bucket)) == ["pulled"]


def test_a_workspace_that_keeps_its_artefacts_there_sends_manifests_only(
    bucket, s3_server, tmp_path
):
    with Workspace.create(tmp_path / "ws", artifacts=bucket) as workspace:
        add(workspace, "wine", "a,b\n1,x\n2,y\n")
        before = keys(s3_server, bucket)
        pushed = push(workspace, bucket)
        assert (states(pushed), pushed.objects, pushed.bytes) == (["pushed"], 0, 0)
        new = set(keys(s3_server, bucket)) - set(before)
        assert len(new) == 1
        assert new.pop().startswith("paceml/data/")
        assert states(push(workspace, bucket)) == ["present"]
        with Workspace.create(tmp_path / "second", artifacts=bucket) as second:
            pulled = pull(second, bucket)
            assert (states(pulled), pulled.objects) == (["pulled"], 0)
            assert read(second, "wine").equals(read(workspace, "wine"))


@pytest.mark.slow
def test_a_big_object_goes_in_parts_with_progress_and_leaves_none_when_it_is_stopped(
    workspace, bucket, s3_server, tmp_path, monkeypatch
):
    monkeypatch.setattr("local_stack.data.sharing.remotes._TICK_SECONDS", 0)
    big = tmp_path / "big.bin"
    big.write_bytes(random.Random(0).randbytes(150_000_000))
    blob = workspace.artifacts.put_file(big)
    added = add(workspace, "t", "x\n1\n")
    row = {**workspace.get("data_versions", "t", added.version), "original": blob.to_dict()}
    from local_stack.stores.journal import Draft

    workspace.append(lambda _: Draft("data.added", "data:t", {}, [("data_versions", row)]))
    place = depot(bucket)
    with pytest.raises(Cancelled):
        call(workspace, "data.push", {"remote": bucket}, progress=stopping(1))
    assert place.unfinished("files/md5/") == []
    assert place.look(stored(row["original"])[0].key) is None
    steps: list[Step] = []
    call(workspace, "data.push", {"remote": bucket}, progress=steps.append)
    done = [step.done for step in steps if step.label.startswith("Pushing")]
    assert len({n for n in done if 0 < n < blob.size}) >= 1
    assert done == sorted(done)
    found = place.look(stored(row["original"])[0].key)
    assert found is not None
    assert found.size == blob.size


def test_a_bucket_that_is_not_there_or_does_not_answer_is_a_sentence(
    workspace, s3_environment, monkeypatch
):
    import s3fs

    add(workspace, "a", "x\n1\n")
    with pytest.raises(UnavailableError, match="s3://nosuchbucket/x") as caught:
        push(workspace, "s3://nosuchbucket/x")
    assert caught.value.exit_code == 3
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UnavailableError, match="did not take part"):
        pull(workspace, f"s3://{BUCKET}/x")


def test_any_other_file_system_will_do(workspace, other):
    url = f"memory://{os.getpid()}-share"
    add(workspace, "a", "x\n1\n")
    assert states(push(workspace, url)) == ["pushed"]
    assert states(push(workspace, url)) == ["present"]
    assert states(pull(other, url)) == ["pulled"]
    assert read(other, "a").height == 1
