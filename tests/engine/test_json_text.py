"""JSON that somebody typed is read strictly wherever it comes in."""

from __future__ import annotations

import pytest

from local_stack.errors import InputError
from local_stack.json_text import has_half_characters, typed_json
from local_stack.serving.client import request_body
from paceml_tui.screens.explain_documents import source_of


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "{'a': 1}"])
def test_what_is_no_json_is_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says is nobody's business
        typed_json(text)
    with pytest.raises(InputError, match="not valid JSON"):
        request_body(text)


def test_what_is_no_number_and_a_name_that_stands_twice_is_refused_at_every_door() -> None:
    for text in ('{"a": NaN}', '{"a": [-Infinity]}'):
        for door in (typed_json, request_body, source_of):
            with pytest.raises(InputError, match=r"(NaN|-Infinity) is not JSON"):
                door(text)
    twice = '{"age": 27, "b\\u202e": {"x": 1}, "age": 90}'
    for door in (typed_json, request_body, source_of):
        with pytest.raises(InputError, match="names 'age' twice"):
            door(twice)
    with pytest.raises(InputError, match="names 'b\ufffd' twice"):
        typed_json('[{"b\\u202e": 1, "b\\u202e": 1}]')
    assert typed_json('{"a": {"a": [1, {"a": null}]}}') == {"a": {"a": [1, {"a": None}]}}


@pytest.mark.parametrize(
    ("value", "is_half"),
    [
        ("\ud800", True),
        ("a\udfffb", True),
        ("\U0001f476", False),
        ("\ud7ff\ue000", False),
        (3, False),
    ],
)
def test_half_characters(value: object, is_half: bool) -> None:
    assert has_half_characters(value) is is_half
    if isinstance(value, str):
        try:
            value.encode()
            assert not is_half
        except UnicodeEncodeError:
            assert is_half
