"""Settings: one file, one variable a value, and the nearest word for what is unknown."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from local_stack import settings
from local_stack.errors import InputError


def load(tmp_path: Path, text: str, **environment: str) -> settings.Settings:
    path = tmp_path / settings.FILE
    path.write_text(text)
    return settings.load(path, environment)


def test_an_empty_file_gives_the_defaults(tmp_path):
    assert load(tmp_path, "") == settings.Settings()


def test_the_file_and_above_it_the_environment(tmp_path):
    text = '[workspace]\nid = "x"\n[journal]\nwait_seconds = 2\n[storage]\nartifacts = "s3://b/p"\n'
    found = load(tmp_path, text)
    assert (found.journal.wait_seconds, found.storage.artifacts) == (2.0, "s3://b/p")
    assert isinstance(found.journal.wait_seconds, float)
    found = load(tmp_path, text, PACEML_JOURNAL_WAIT_SECONDS="0.5", PACEML_SERVING_PORT="81")
    assert (found.journal.wait_seconds, found.serving.port) == (0.5, 81)


def test_every_setting_has_a_variable_and_a_sentence(tmp_path):
    import inspect

    for section in fields(settings.Settings):
        kind = section.default_factory
        for field in fields(kind):
            value = {bool: "true", int: "7", float: "7.5", str: "seven"}[type(field.default)]
            name = f"PACEML_{section.name}_{field.name}".upper()
            found = getattr(getattr(load(tmp_path, "", **{name: value}), section.name), field.name)
            assert str(found).lower() == value
            source = inspect.getsource(kind)
            line = source[source.index(f"    {field.name}:") :].splitlines()[1]
            assert line.strip().startswith('"""'), f"{section.name}.{field.name}"


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("[jurnal]\n", "unknown section [jurnal]", "Did you mean 'journal'?"),
        ("[journal]\nwait_second = 1\n", "unknown key journal.wait_second", "'wait_seconds'"),
        ("[journal]\nwait_seconds = 'x'\n", "journal.wait_seconds must be of type float", ""),
        ("[journal]\nwait_seconds = nan\n", "finite", ""),
        ("[journal]\nwait_seconds = inf\n", "finite", ""),
        ("[journal]\nsegment_bytes = 1.5\n", "segment_bytes must be of type int", ""),
        ("[serving]\nport = true\n", "serving.port must be of type int", ""),
        ("[storage]\nallow_network_file_system = 1\n", "must be of type bool", ""),
        ("journal = 5\n", "journal must be a table", "[journal]"),
        ("workspace = 5\n", "workspace must be a table", "[workspace]"),
        ("[journal\n", "not valid TOML", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path, text, told, hint):
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert told in caught.value.message
    assert str(tmp_path / settings.FILE) in caught.value.message
    assert hint in caught.value.hint


def test_a_file_that_is_no_text_is_told(tmp_path):
    (tmp_path / settings.FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not valid TOML"):
        settings.load(tmp_path / settings.FILE, {})


@pytest.mark.parametrize(
    "variable",
    [
        {"PACEML_JOURNAL_WAIT_SECONDS": "soon"},
        {"PACEML_JOURNAL_WAIT_SECONDS": "nan"},
        {"PACEML_SERVING_PORT": "80.5"},
        {"PACEML_STORAGE_ALLOW_NETWORK_FILE_SYSTEM": "maybe"},
    ],
)
def test_a_variable_of_the_wrong_type_is_told(tmp_path, variable):
    with pytest.raises(InputError):
        load(tmp_path, "", **variable)


def test_truth_is_spelled_in_more_than_one_way(tmp_path):
    name = "PACEML_STORAGE_ALLOW_NETWORK_FILE_SYSTEM"
    for text, expected in (("1", True), ("Yes", True), ("off", False), ("false", False)):
        assert load(tmp_path, "", **{name: text}).storage.allow_network_file_system is expected
        assert settings.is_network_allowed({name: text}) is expected
    assert settings.is_network_allowed({}) is False


def test_what_is_written_reads_back(tmp_path):
    default = settings.Settings()
    url = 's3://b/"quoted"\\\x1b\n'
    changed = replace(
        default,
        storage=replace(default.storage, artifacts=url, allow_network_file_system=True),
        journal=replace(default.journal, wait_seconds=0.25),
    )
    text = settings.document("an-id", changed)
    assert load(tmp_path, text) == changed
    assert "serving" not in text
    assert load(tmp_path, settings.document("an-id", default)) == default


def test_who_acts():
    assert settings.actor({"PACEML_ACTOR": " ada "}) == "ada"
    assert settings.actor({"PACEML_ACTOR": " "}) == settings.actor({}) != ""
