"""The README's commands do what they say, from the first to the last."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from local_stack.catalog import commands
from local_stack.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def console_lines() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_every_console_command_of_the_readme_runs(tmp_path: Path):
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    env = {**os.environ, "PACEML_ACTOR": "reader"}
    program = [sys.executable, "-m", "paceml_tui"]
    ran = 0
    try:
        for line in console_lines():
            words = shlex.split(line)
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                env[name] = value
                continue
            assert words[0] == "paceml-tui", line
            ended = subprocess.run(
                [*program, *words[1:]],
                cwd=tmp_path,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=200,
            )
            assert ended.returncode == 0, f"{line}\n{ended.stdout}\n{ended.stderr}"
            ran += 1
    finally:
        subprocess.run(
            [*program, "serving", "stop", "diabetes"], cwd=tmp_path, env=env, check=False
        )
    assert ran >= 15


def test_the_tests_and_demo_commands_of_the_readme_are_targets_of_make():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_every_word_has_its_section_and_every_picture_exists():
    for word in ("Tower", "Data", "Runs", "Explain", "Registry", "Serving", "Drift", "Audit"):
        assert f"## {word}\n" in README
    for picture in re.findall(r"\]\((screenshots/[^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture


def test_the_settings_table_names_every_setting():
    for section in fields(Settings):
        for key in fields(getattr(Settings(), section.name)):
            assert f"`{section.name}.{key.name}`" in README, f"{section.name}.{key.name}"


def test_the_commands_that_the_readme_names_exist():
    named = set(re.findall(r"`(\w+) (\w+)(?:[ `\[])", README))
    words = {command.word for command in commands().values()}
    for word, verb in named:
        if word in words:
            assert f"{word}.{verb}" in commands(), f"{word} {verb}"


@pytest.mark.parametrize("extra", ["s3", "web", "cluster", "onnx", "dev"])
def test_the_extras_exist(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]
