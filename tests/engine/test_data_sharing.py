"""Push and pull: versions travel whole, and what is otherwise is told."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
from sharing_kit import objects, pull, push, read, shown, states
from versions_kit import add

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.errors import ConflictError, InputError, NotFoundError, UnavailableError
from local_stack.stores.artifacts import stored
from local_stack.workspace import Workspace


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
