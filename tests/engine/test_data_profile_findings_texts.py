"""Texts: spellings, padding, numbers and dates among them, hostile ones, personal data."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import polars as pl
import pytest
from findings_kit import of_column, values_of
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.data.profiling import checksums, wordings
from local_stack.data.profiling.personal import KINDS, Kind, digits_of
from local_stack.data.profiling.spellings import edit_distance, is_misspelt, normal_form
from local_stack.data.profiling.writing import DATE, MARKUP, NUMBER

COUNTRIES = ["Austria", "Australia", "Slovakia", "Slovenia", "Niger", "Nigeria", "Iran", "Iraq"]
COUNTRIES += ["North Korea", "South Korea", "Guinea", "Guyana", "Gambia", "Zambia", "Dominica"]


def _random(n: int, *choices: str, seed: int = 0) -> list[str]:
    return np.random.default_rng(seed).choice(np.array(choices), n).tolist()


# ------------------------------------------------------------------ clean columns are silent


@pytest.mark.parametrize(
    "values",
    [
        _random(2000, "red", "green", "blue"),
        _random(2000, *COUNTRIES),
        ["male"] * 700 + ["female"] * 60,
        ["North Dakota"] * 900 + ["South Dakota"] * 20 + ["Inland"] * 900 + ["Island"] * 20,
        _random(500, "A+", "A-", "B+", "B-", "AB+"),
        _random(500, "<=50K", ">50K"),
        _random(500, "1-5", "6-10", "15-60"),
        _random(500, "none", "guarantor", "co-applicant"),
        _random(500, "01067", "99425", "00123", "80331"),
        [f"room {i % 40}" for i in range(2000)],
        [f"{i:08x}-token" for i in range(500)],
        [f"a short note about thing number {i * 37 % 1000}" for i in range(1000)],
        _random(500, "AA-1234", "BB-2345", "CC-3456"),
        ["x", "y"],
        ["only"],
    ],
    ids=lambda values: str(values[0]),
)
def test_clean_texts_are_silent(values: list[str]) -> None:
    assert of_column(values) == {}


def test_columns_without_values_are_silent() -> None:
    for values in ([], [None, None]):
        assert of_column(pl.Series(values, dtype=pl.String)) == {}


# ------------------------------------------------------------------ spellings


def test_spellings_of_missing_are_counted_with_their_rows() -> None:
    values = ["a", "?", "b", "n/a ", None, "a", "-", "?", "Unknown"] + ["a", "b"] * 20
    found = of_column(values)["null_spellings"]
    assert values_of(found) == {"?": 2, "n/a ": 1, "-": 1, "Unknown": 1}
    assert (found.value, found.threshold) == (pytest.approx(5 / 48), 0.0)
    assert found.rows == (1, 3, 6, 7, 8)
    assert "'?' (2)" in found.message


def test_none_is_missing_only_beside_other_signs_of_it() -> None:
    assert "null_spellings" not in of_column(["none", "some"] * 30)
    assert values_of(of_column(["none", "some", None] * 30)["null_spellings"]) == {"none": 30}


def test_white_space_at_an_end_is_found() -> None:
    found = of_column(["ann ", "bob", "\tcy", "d e"] * 10)["padded"]
    assert (found.value, set(values_of(found))) == (0.5, {"ann ", "\tcy"})
    assert "\\t" in found.message
    assert "\t" not in found.message


@pytest.mark.parametrize(
    ("variants", "n_groups"),
    [
        ({"California": 500, "Californa": 3}, 1),
        ({"California": 500, "california": 90, "CALIFORNIA": 2}, 1),
        ({"St. Gallen": 200, "st-gallen": 5, "ST GALLEN": 1}, 1),
        ({"Zürich": 200, "Zurich": 40}, 1),
        ({"Bostno": 2, "Boston": 300}, 1),
        ({"engineering": 300, "enginering": 2, "enginnering": 1, "sales": 300}, 2),
        ({"item 1": 300, "item-1": 5, "item 2": 300}, 1),
    ],
    ids=lambda it: str(it)[:40],
)
def test_texts_that_look_alike_are_grouped(variants: dict[str, int], n_groups: int) -> None:
    values = [text for text, n in variants.items() for _ in range(n)] + ["other"] * 50
    found = of_column(values)["similar_categories"]
    assert found.value == n_groups
    told = values_of(found)
    expected = {k: n for k, n in variants.items() if k in told}
    assert expected == told
    assert set(variants) - set(told) <= {"sales", "item 2"}


words = st.text(st.sampled_from("abcdé"), max_size=8)


@given(words, words)
@settings(deadline=None, max_examples=300)
def test_edit_distance_is_the_plain_recursion(a: str, b: str) -> None:
    known: dict[tuple[int, int], int] = {}

    def distance(i: int, j: int) -> int:
        if (i, j) not in known:
            if not i or not j:
                known[i, j] = i + j
            else:
                best = min(distance(i - 1, j) + 1, distance(i, j - 1) + 1)
                best = min(best, distance(i - 1, j - 1) + (a[i - 1] != b[j - 1]))
                if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                    best = min(best, distance(i - 2, j - 2) + 1)
                known[i, j] = best
        return known[i, j]

    assert edit_distance(a, b) == distance(len(a), len(b)) == edit_distance(b, a)


def test_a_slip_of_the_pen_is_told_from_another_word() -> None:
    slips = [("californa", "california"), ("bostno", "boston"), ("employees", "employee")]
    slips += [("green appel", "green apple"), ("enginreeing", "engineering")]
    others = [("north", "south"), ("inland", "island"), ("room 11", "room 1"), ("cat", "cart")]
    others += [("impossible", "possible"), ("slovakia", "slovenia"), ("new york", "york")]
    assert all(is_misspelt(*pair) for pair in slips)
    assert not any(is_misspelt(*pair) for pair in others)


def test_normal_forms_keep_what_digits_and_signs_mean() -> None:
    given_, forms = zip(
        ("St. Gallen", "stgallen"),
        ("Café-Bar", "cafebar"),
        ("1-5", "1-5"),
        ("1.5", "1.5"),
        ("A-", "a-"),
        ("C++", "c++"),
        ("U.S.A.", "usa"),
        ("item_7", "item7"),
        strict=True,
    )
    assert normal_form(pl.Series(given_)).to_list() == list(forms)


def test_small_categories_of_a_large_table_are_named() -> None:
    values = ["near"] * 900 + ["inland"] * 600 + ["island"] * 5
    found = of_column(values)["rare_categories"]
    assert (found.value, found.threshold, values_of(found)) == (5, 10, {"island": 5})
    assert found.rows == (1500, 1501, 1502, 1503, 1504)
    assert of_column(values[-100:]) == {}


# ------------------------------------------------------------------ numbers, dates, markup


def test_numbers_that_stayed_texts_are_found_with_the_exceptions() -> None:
    values = [f"1,{i:03d}.50" for i in range(95)] + ["see note"] * 3 + ["12%", "(1,200)"]
    found = of_column(values)["numbers_as_text"]
    assert (found.value, found.threshold) == (0.97, 0.9)
    assert "'see note' (3)" in found.message


def test_dates_that_stayed_texts_are_found() -> None:
    days = [f"{1 + i % 28:02d}/{1 + i % 12:02d}/2021" for i in range(99)] + ["soon"]
    assert of_column(days)["dates_as_text"].value == 0.99
    assert "numbers_as_text" not in of_column(days)


def test_numbers_among_words_are_a_mixture() -> None:
    values = [str(1000 + i) for i in range(60)] + [f"A/5 {i}" for i in range(40)]
    assert of_column(values)["mixed_types"].value == 0.6


NUMBERS = ["1", "-1.5", "+3", "1,234,567.89", "1.234,5", "12 500", "$5", "€ 1.20", "-$3", "7%"]
NUMBERS += ["(1,200)", "1e-5", ".5", " 42 ", "1'000", "5."]
NO_NUMBERS = ["", "-", "$", "1-2", "12:30", "1 2 3 x", "e5", "0x1f", "1.2.3.4.5", "A1", "1" * 20]
DATES = ["2021-03-04", "2021/3/4", "4.3.2021", "03/04/21", "2021-03-04T05:06:07Z", "4 Mar 2021"]
DATES += ["March 4, 2021", "04-MAR-21", "2021-03-04 5:06", "3/4/2021 5:06 PM"]
NO_DATES = ["2021-13-04", "2021", "32/01/2021", "1.2", "10.0.0.1", "Marching 4", "555-1234"]


def test_what_reads_as_a_number_and_as_a_date() -> None:
    for pattern, held, others in ((NUMBER, NUMBERS, NO_NUMBERS), (DATE, DATES, NO_DATES)):
        texts = pl.Series([*held, *others])
        expected = [*held, *[text for text in others if text == "never"]]
        found = texts.filter(texts.str.contains(pattern) & texts.str.contains(r"\d"))
        assert found.to_list() == expected


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**14), 10**14))
@settings(deadline=None)
def test_every_written_number_reads_as_one(number: float, whole: int) -> None:
    texts = [f"{number:.3e}", f"{number:.6g}", str(whole), f"{whole:,}", f"{whole / 100:.2f}"]
    assert pl.Series(texts).str.contains(NUMBER).all()


@given(st.dates(), st.times())
@settings(deadline=None)
def test_every_written_date_reads_as_one(day: Any, time: Any) -> None:
    moment = f"{day.isoformat()}T{time.isoformat(timespec='seconds')}"
    plain = [
        f"{day.day}.{day.month}.{day.year:04d}",
        f"{day.month:02d}/{day.day:02d}/{day.year:04d}",
    ]
    assert pl.Series([day.isoformat(), moment, *plain]).str.contains(DATE).all()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a\x1b[31mred", "control characters"),
        ("abc\u202edef", "direction-changing"),
        ("zero\u200bwidth", "invisible"),
        ("bad\ufffdbyte", "replacement characters"),
        ("MÃ¼nchen", "letters of a wrong encoding"),
        ('=HYPERLINK("x")', "spreadsheet formulas"),
    ],
)
def test_texts_that_may_harm_a_reader_are_found(text: str, kind: str) -> None:
    found = of_column(["plain", "text"] * 20 + [text])["odd_characters"]
    assert kind in found.message
    assert values_of(found) == {text: 1}
    assert found.rows == (40,)
    assert found.message.isprintable()


def test_html_is_found_and_comparisons_are_not() -> None:
    held = ["<p>hi</p>", "a<br/>b", "x &amp; y", "<a href='u'>v</a>"]
    others = ["a < b", "<name>", "i > 3 & j", "AT&T;"]
    texts = pl.Series([*held, *others])
    assert texts.filter(texts.str.contains(MARKUP)).to_list() == held
    assert "markup" in of_column(held * 5)


def test_identifiers_that_repeat_are_found() -> None:
    ids = [f"{i:08x}-1111-4222-8333-{i:012x}" for i in range(50)]
    assert "UUIDs" in of_column(ids * 2)["identifier"].message
    assert "hexadecimal" in of_column([f"{i:032x}" for i in range(50)] * 2)["identifier"].message
    assert "identifier" not in of_column(ids)  # "unique" says so already


def test_many_texts_are_judged_by_a_sample_that_is_named() -> None:
    found = of_column([f"name {i} " for i in range(60_000)])["padded"]
    assert found.value == 1.0
    assert "in a sample of 10,000 of 60,000 different texts" in found.message


def test_long_texts_are_judged_by_a_sample_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordings, "MAX_CHARACTERS", 50_000)
    found = of_column([f"<p>{i:03d}</p>" + "word " * 200 for i in range(60)])["markup"]
    assert "in a sample of 49 of 60 different texts" in found.message


# ------------------------------------------------------------------ personal data

# Numbers that python-stdnum 2.2 finds valid, made from random digits.
VALID = {
    "German tax numbers": "29484604171 24963851337 12479780733",
    "Dutch BSN numbers": "355542900 020609772 397638085",
    "Spanish DNI or NIE numbers": "35874820H Y5910453L 18775604Z",
    "French NIR numbers": "150052A61349210 160112299773195 287030949842856",
    "British NHS numbers": "8418216336 5284877780 2963138660",
    "Polish PESEL numbers": "28090546303 61111063241 21042295546",
    "Belgian national numbers": "95081693950 32030548063 02102718983",
    "Swedish personal numbers": "9303261532 1805164140 5101071818",
    "Brazilian CPF numbers": "19513940462 17686767809 48675013108",
    "Indian Aadhaar numbers": "463522992512 900643367867 997306530639",
    "Finnish personal codes": "080392-838B 180533-079P 220282-701K",
    "Italian codici fiscali": "ISYVYU53P08H443J OSMLCE36R03I688P XEBTJG43L15L763Q",
    "payment card numbers": "4808466087060249 4268153391795750 4607068614766950",
    "IBANs": "DE02943625250754894550 DE04154396479242399457 DE70191892863787781018",
}


def _passes(name: str, values: list[str]) -> np.ndarray[Any, Any]:
    kind = next(kind for kind in KINDS if kind.name == name)
    texts = pl.Series(values)
    held = texts.str.contains(kind.expression).to_numpy().copy()
    assert kind.check is not None
    held[held] = kind.check(texts.filter(held))
    return held


@pytest.mark.parametrize("name", VALID)
def test_valid_numbers_pass_and_numbers_with_a_wrong_digit_do_not(name: str) -> None:
    valid = VALID[name].split()
    assert _passes(name, valid).all()
    last = [value[:-1] + chr(ord(value[-1]) + (-1 if value[-1] in "9Z" else 1)) for value in valid]
    assert not _passes(name, last).any()
    swapped = [
        value[:6] + str((int(value[6]) + 1) % 10) + value[7:]
        for value in valid
        if value[6].isdigit()
    ]
    assert not swapped or not _passes(name, swapped).any()


def _luhn_reference(digits: str) -> bool:
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(sum(map(int, str(d))) for d in doubled) % 10 == 0


@given(st.lists(st.text(st.sampled_from(string.digits), min_size=16, max_size=16), min_size=1))
@settings(deadline=None)
def test_luhn_equals_the_plain_rule(numbers: list[str]) -> None:
    expected = [_luhn_reference(number) for number in numbers]
    assert checksums.luhn(digits_of(pl.Series(numbers))).tolist() == expected


@given(st.integers(0, 10**18 - 1))
@settings(deadline=None)
def test_ibans_with_their_own_check_digits_pass_and_others_do_not(account: int) -> None:
    body = f"{account:018d}"
    check = 98 - int(f"{body}131400") % 97  # D is 13, E is 14
    texts = [f"DE{number % 100:02d}{body}" for number in (check, check + 1, check + 50)]
    assert _passes("IBANs", texts).tolist() == [True, False, False]


@given(st.integers(0, 10**11 - 1))
@settings(deadline=None)
def test_verhoeff_finds_every_wrong_digit_and_swap(number: int) -> None:
    stem = f"{number:011d}"
    [whole] = [
        f"{stem}{d}"
        for d in range(10)
        if checksums.verhoeff(digits_of(pl.Series([f"{stem}{d}"])))[0]
    ]
    wrong = [
        whole[:i] + str((int(whole[i]) + 1 + number % 9) % 10) + whole[i + 1 :] for i in range(12)
    ]
    swaps = [
        whole[:i] + whole[i + 1] + whole[i] + whole[i + 2 :]
        for i in range(11)
        if whole[i] != whole[i + 1]
    ]
    assert not checksums.verhoeff(digits_of(pl.Series(wrong + swaps))).any()


@pytest.mark.parametrize("kind", [it for it in KINDS if it.n_digits], ids=lambda it: it.name)
def test_random_digits_do_not_pass_beyond_chance(kind: Kind) -> None:
    random = np.random.default_rng(5)
    digits = random.integers(0, 10, (20_000, max(kind.n_digits))).astype(str)
    assert _passes(kind.name, ["".join(row) for row in digits.tolist()]).mean() <= kind.chance * 1.1


@pytest.mark.parametrize("length", [9, 10, 11, 12, 15, 16])
def test_random_numbers_are_no_personal_data(length: int) -> None:
    random = np.random.default_rng(length)
    numbers = random.integers(10 ** (length - 1), 10**length, 500)
    assert "personal_data" not in of_column(pl.Series(numbers))
    assert "personal_data" not in of_column([str(number) for number in numbers])


@pytest.mark.parametrize("name", ["payment card numbers", "Dutch BSN numbers"])
def test_numbers_kept_as_whole_numbers_are_recognised(name: str) -> None:
    numbers = [int(value) for value in VALID[name].split()]
    length = 16 if name.startswith("payment") else 9
    stem = 45 * 10**13 if length == 16 else 2 * 10**7
    body = (f"{stem + 7 * i}{d}" for i in range(3000) for d in range(10))
    texts = [text for text in body if len(text) == length]
    passing = [text for text, held in zip(texts, _passes(name, texts), strict=True) if held]
    found = of_column(pl.Series(numbers + [int(text) for text in passing[:200]]))["personal_data"]
    assert (found.method, found.value) == (name, 1.0)
    assert "pass their check digits" in found.message


def test_values_are_shown_as_shapes_in_every_alert_of_a_personal_column() -> None:
    values = [f"ann.lee{i}@mail{i % 3}.example" for i in range(50)] + ["eve@mail.example "] * 50
    found = of_column(values)
    personal = found["personal_data"]
    assert (personal.method, personal.threshold) == ("e-mail addresses", 0.5)
    assert {"padded", "personal_data"} <= set(found)
    for alert in found.values():
        shown = alert.message + "".join(str(item.value) for item in alert.values)
        assert "ann" not in shown
        assert "eve" not in shown
    assert "aaa.aaa99@aaaa9.aaaaaaa" in values_of(personal)


def test_digits_of_other_scripts_are_no_check_digits() -> None:
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    for name, valid in VALID.items():
        texts = [value.translate(arabic) for value in valid.split()] * 20
        assert not _passes(name, texts).any()
        assert "personal_data" not in of_column(texts)


@given(
    st.lists(st.text(st.characters(categories=["Nd", "Lu", "Zs", "Pd"]), max_size=20), max_size=30)
)
@settings(deadline=None, max_examples=100)
def test_any_texts_can_be_judged(values: list[str]) -> None:
    for alert in of_column(values * 2).values():
        assert alert.value >= 0


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([f"+49 30 {100000 + i}" for i in range(30)], "phone numbers"),
        ([f"({200 + i}) 555-{1000 + i}" for i in range(30)], "phone numbers"),
        ([f"10.0.{i}.{i + 3}" for i in range(30)], "IP addresses"),
        ([f"2001:db8::{i:x}" for i in range(30)], "IP addresses"),
        ([f"00:1b:44:11:3a:{i:02x}" for i in range(30)], "MAC addresses"),
        ([f"https://ann:pw@host/{i}" for i in range(30)], "addresses of web pages with a user"),
        ([f"{100 + i}-45-{6789 + i}" for i in range(30)], "US social security numbers"),
    ],
)
def test_kinds_without_check_digits(values: list[str], kind: str) -> None:
    assert of_column(values)["personal_data"].method == kind


def test_addresses_in_longer_texts_are_found() -> None:
    notes = [f"call back number {i}" for i in range(97)]
    notes += [f"write to bob.{i}@mail.example please" for i in range(3)]
    found = of_column(notes)["personal_data"]
    assert (found.value, found.method, found.rows) == (0.03, "e-mail addresses", (97, 98, 99))
    assert "bob" not in found.message


def test_the_name_of_a_column_is_a_weaker_hint() -> None:
    names = [f"Person {chr(97 + i)}" for i in range(20)]
    assert "by the column's name" in str(of_column(names, "LastName")["personal_data"].method)
    assert of_column(names, "product") == {}
    people = [f"Lee, Mr. {chr(65 + i)}." for i in range(20)]
    assert of_column(people, "name")["personal_data"].value == 1.0
    assert "personal_data" not in of_column(names, "name")
    assert "personal_data" not in of_column(["yes", "no"] * 20, "telephone")
    assert "personal_data" not in of_column([f"station {i}" for i in range(20)], "station_name")
