"""What git tells of a recipe's folder, and that no repository makes it run anything."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from records_kit import git, make_project

from local_stack.runs import git as code


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, and nobody's configuration around it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    root = make_project(tmp_path / "project")
    (root / "recipes").mkdir()
    return root


def test_a_clean_repository_gives_commit_branch_and_remote(repository):
    git(repository, "remote", "add", "origin", "https://ann:secret@example.org/project.git")
    found = code.look(repository / "recipes")
    assert found.commit == git(repository, "rev-parse", "HEAD")
    assert (found.branch, found.is_dirty, found.diff, found.missing) == ("main", False, b"", "")
    assert found.root == str(repository)
    assert found.repository == "https://ann:***@example.org/project.git"


def test_what_is_not_committed_is_a_diff_that_git_applies_again(repository, tmp_path):
    (repository / "notes.txt").write_text("one\ntwo\n")
    (repository / "b.txt").write_text("staged\n")
    git(repository, "add", "b.txt")
    (repository / "left [b].txt").write_text("unknown\n")
    found = code.look(repository)
    assert found.is_dirty
    assert (found.untracked, found.n_untracked) == (("left [b].txt",), 1)
    assert found.diff_sha256 == hashlib.sha256(found.diff).hexdigest()
    assert found.diff_bytes == len(found.diff)
    assert "diff" not in found.to_dict()
    git(tmp_path, "clone", "-q", str(repository), "copy")
    (tmp_path / "source.diff").write_bytes(found.diff)
    git(tmp_path / "copy", "apply", str(tmp_path / "source.diff"))
    assert (tmp_path / "copy" / "notes.txt").read_text() == "one\ntwo\n"
    assert (tmp_path / "copy" / "b.txt").read_text() == "staged\n"


def test_a_long_diff_is_hashed_as_a_whole_and_kept_in_part(repository, monkeypatch):
    monkeypatch.setattr(code, "MOST_DIFF_BYTES", 1_000)
    hashes = set()
    for last in ("x", "y"):
        (repository / "notes.txt").write_text("".join(f"{n}\n" for n in range(40_000)) + last)
        found = code.look(repository)
        hashes.add(found.diff_sha256)
        assert len(found.diff) == 1_000 < found.diff_bytes
    assert len(hashes) == 2


def test_head_may_be_detached_or_not_yet_born(repository, tmp_path):
    git(repository, "checkout", "-q", "--detach")
    detached = code.look(repository)
    assert (detached.branch, bool(detached.commit)) == ("", True)
    git(tmp_path, "init", "-q", "-b", "trunk", "new")
    unborn = code.look(tmp_path / "new")
    assert (unborn.branch, unborn.commit, unborn.missing) == ("trunk", "", "")


def test_no_repository_or_no_git_is_told(repository, tmp_path, monkeypatch):
    (tmp_path / "plain").mkdir()
    assert "no git repository" in code.look(tmp_path / "plain").missing
    monkeypatch.setenv("PATH", str(tmp_path))
    found = code.look(repository)
    assert found.missing == "git is not installed"
    assert found.to_dict() == {"missing": "git is not installed"}


def test_a_git_in_the_working_directory_is_not_taken(repository, monkeypatch):
    trap = repository / "git"
    trap.write_text("#!/bin/sh\ntouch trapped\n")
    trap.chmod(0o755)
    monkeypatch.chdir(repository)
    monkeypatch.setenv("PATH", ".")
    assert code.look(repository).missing == "git is not installed"
    assert not (repository / "trapped").exists()


def test_variables_of_a_calling_git_do_not_lead_elsewhere(repository, tmp_path, monkeypatch):
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert code.look(repository).root == str(repository)


HOSTILE = {
    "file monitor": "[core]\n\tfsmonitor = {trap}\n",
    "diff program": "[diff]\n\texternal = {trap}\n",
    "pager": "[core]\n\tpager = {trap}\n[pager]\n\tdiff = {trap}\n\tstatus = {trap}\n",
    "converter": '[diff "odd"]\n\ttextconv = {trap}\n\tcommand = {trap}\n',
    "filter": '[filter "odd"]\n\tclean = {trap}\n\tsmudge = {trap}\n\trequired\n',
    "process": '[filter "odd"]\n\tprocess = {trap}\n\trequired = true\n',
    "filter with a sign": '[filter "a=b.c\\"d"]\n\tclean = {trap}\n',
    "included": "[include]\n\tpath = more.txt\n",
    "hooks": "[core]\n\thooksPath = {hooks}\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_that_a_repository_names_is_run(repository, tmp_path, kind):
    name = 'a=b.c"d' if "sign" in kind else "odd"
    sprung, trap, hooks = tmp_path / "sprung", tmp_path / "trap", tmp_path / "hooks"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\ncat\n")
    trap.chmod(0o755)
    hooks.mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman"):
        (hooks / hook).symlink_to(trap)
    inside = repository / ".git"
    (inside / "info" / "attributes").write_text(f"* filter={name} diff=odd\n")
    (inside / "more.txt").write_text(f'[filter "odd"]\n\tclean = {trap}\n')
    with (inside / "config").open("a") as stream:
        stream.write(HOSTILE[kind].format(trap=trap, hooks=hooks))
    (repository / "notes.txt").write_text("two\n")
    os.utime(repository / "notes.txt", (1, 1))  # git has to look at the content
    before = (inside / "index").read_bytes()
    found = code.look(repository)
    assert not sprung.exists()
    assert (inside / "index").read_bytes() == before
    assert found.is_dirty
    assert b"+two" in found.diff


@pytest.mark.parametrize("kind", ["filter", "diff program"])
def test_the_traps_of_these_tests_would_spring(repository, tmp_path, kind):
    sprung, trap = tmp_path / "sprung", tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\ncat\n")
    trap.chmod(0o755)
    (repository / ".git" / "info" / "attributes").write_text("* filter=odd diff=odd\n")
    with (repository / ".git" / "config").open("a") as stream:
        stream.write(HOSTILE[kind].format(trap=trap, hooks=""))
    (repository / "notes.txt").write_text("two\n")
    git(repository, "diff", "HEAD")
    assert sprung.exists()


def test_a_partial_clone_fetches_nothing(repository, tmp_path):
    sprung, trap = tmp_path / "sprung", tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\nexit 1\n")
    trap.chmod(0o755)
    blob = git(repository, "rev-parse", "HEAD:notes.txt")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with (repository / ".git" / "config").open("a") as stream:
        stream.write(
            "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = origin\n"
        )
        stream.write(f'[remote "origin"]\n\turl = {tmp_path}\n\tuploadpack = {trap}\n')
        stream.write("\tpromisor = true\n")
    (repository / "notes.txt").write_text("two\n")
    found = code.look(repository)
    assert not sprung.exists()
    assert found.missing == "git diff failed"


def test_a_work_tree_elsewhere_is_not_read(repository, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "notes.txt").write_text("private\n")
    git(repository, "config", "core.worktree", str(elsewhere))
    found = code.look(repository)
    assert found.missing
    assert found.diff == b""


def test_a_bare_repository_that_hides_in_a_folder_is_not_taken(repository):
    bare = repository / "recipes"
    git(repository, "clone", "-q", "--bare", str(repository), str(bare / "x"))
    for path in (bare / "x").iterdir():
        path.rename(bare / path.name)
    found = code.look(bare)
    assert found.root == "" or found.root == str(repository)


def test_a_git_that_never_answers_is_left(repository, tmp_path, monkeypatch):
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:/usr/bin:/bin")
    monkeypatch.setattr(code, "_WAIT_SECONDS", 0.2)
    assert "took more than" in code.look(repository).missing
