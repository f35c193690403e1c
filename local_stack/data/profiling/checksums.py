"""Check digits of cards, accounts and persons, for many numbers at once.

Each function takes ``digits``, shape (n, length), and returns which of the n numbers pass. The
rules are those of ISO/IEC 7812 (Luhn), ISO 13616 and ISO/IEC 7064, and of the offices that give
the numbers out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Digits: TypeAlias = NDArray[np.int64]
    Passes: TypeAlias = NDArray[Any]

_VERHOEFF_PRODUCT = (
    "0123456789 1234067895 2340178956 3401289567 4012395678 "
    "5987604321 6598710432 7659821043 8765932104 9876543210"
)
_VERHOEFF_TURN = (
    "0123456789 1576283094 5803796142 8916043527 9453126870 4286573901 2793806415 7046913258"
)
_ITALIAN_ODD = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10]
_ITALIAN_ODD += [22, 25, 24, 23]


def luhn(digits: Digits) -> Passes:
    """Return which numbers keep the Luhn rule (ISO/IEC 7812-1)."""
    import numpy as np

    turned = digits[:, ::-1].copy()
    turned[:, 1::2] *= 2
    passes: Passes = np.where(turned > 9, turned - 9, turned).sum(axis=1) % 10 == 0
    return passes


def mod_97(letters: Digits) -> Passes:
    """Return which accounts keep ISO 7064 MOD 97-10, of codes 0 to 35 (A is 10), as in IBANs.

    Four leading places count last; a code of -1 is a place that a shorter account does not have.
    """
    import numpy as np

    moved = np.concatenate([letters[:, 4:], letters[:, :4]], axis=1)
    rest = np.zeros(moved.shape[0], dtype=np.int64)
    for code in moved.T:
        longer = np.where(code > 9, rest * 100 + code, rest * 10 + code) % 97
        rest = np.where(code >= 0, longer, rest)
    passes: Passes = rest == 1
    return passes


def weighted(digits: Digits, weights: tuple[int, ...]) -> Digits:
    """Return the weighted sums of the leading digits, shape (n,)."""
    import numpy as np

    sums: Digits = digits[:, : len(weights)] @ np.array(weights, dtype=np.int64)
    return sums


def number(digits: Digits) -> Digits:
    """Return the numbers that at most 18 digits write, shape (n,)."""
    return weighted(digits, tuple(10**power for power in range(digits.shape[1] - 1, -1, -1)))


def is_day(years: Digits, months: Digits, days: Digits) -> Passes:
    """Return which are days; 29 February is one in years that divide by four."""
    import numpy as np

    lengths = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    is_month = (months >= 1) & (months <= 12)
    length = lengths[np.where(is_month, months, 0)] + ((months == 2) & (years % 4 == 0))
    passes: Passes = is_month & (days >= 1) & (days <= length)
    return passes


def german_tax(digits: Digits) -> Passes:
    """Return which are German Steuer-IDs: ISO 7064 MOD 11,10, and one digit two or three times."""
    import numpy as np

    product = np.full(digits.shape[0], 10, dtype=np.int64)
    for digit in digits[:, :10].T:
        total = (digit + product) % 10
        product = np.where(total == 0, 10, total) * 2 % 11
    times = np.stack([(digits[:, :10] == digit).sum(axis=1) for digit in range(10)])
    repeats = ((times == 2) | (times == 3)).sum(axis=0)
    is_shaped = (repeats == 1) & ((times > 1).sum(axis=0) == 1) & (digits[:, 0] > 0)
    passes: Passes = is_shaped & ((11 - product) % 10 == digits[:, 10])
    return passes


def dutch_citizen(digits: Digits) -> Passes:
    """Return which are Dutch BSNs (the eleven test)."""
    sums = weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1))
    passes: Passes = (sums % 11 == 0) & (digits.sum(axis=1) > 0)
    return passes


def british_health(digits: Digits) -> Passes:
    """Return which are NHS numbers of the United Kingdom (modulus 11)."""
    check = 11 - weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    passes: Passes = (check % 11 == digits[:, 9]) & (digits.sum(axis=1) > 0)
    return passes


def polish_citizen(digits: Digits) -> Passes:
    """Return which are Polish PESELs: a day of birth, whose month tells the century, and a sum."""
    sums = weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3))
    years, months, days = _date_parts(digits)
    passes: Passes = ((10 - sums % 10) % 10 == digits[:, 10]) & is_day(years, months % 20, days)
    return passes


def belgian_citizen(digits: Digits) -> Passes:
    """Return which are Belgian national numbers: a day of birth, and 97 minus the rest by 97."""
    base, check = number(digits[:, :9]), number(digits[:, 9:])
    years, months, days = _date_parts(digits)
    is_recent = years <= time.gmtime().tm_year % 100
    passes = (97 - base % 97 == check) | (is_recent & (97 - (base + 2_000_000_000) % 97 == check))
    found: Passes = passes & is_day(years, months, days)
    return found


def swedish_person(digits: Digits) -> Passes:
    """Return which are Swedish personal numbers, of ten or twelve digits: a day, and Luhn's."""
    short = digits[:, -10:]
    years, months, days = _date_parts(short)
    passes = luhn(short) & is_day(years, months, days)
    if digits.shape[1] == 12:
        century = number(digits[:, :2])
        passes &= (century >= 18) & (century <= 20)
    return passes


def _date_parts(digits: Digits) -> tuple[Digits, Digits, Digits]:
    return number(digits[:, 0:2]), number(digits[:, 2:4]), number(digits[:, 4:6])


def brazilian_person(digits: Digits) -> Passes:
    """Return which are Brazilian CPFs: two check digits, not all digits the same."""
    first = weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    second = weighted(digits, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    differ = (digits != digits[:, :1]).any(axis=1)
    passes: Passes = (first == digits[:, 9]) & (second == digits[:, 10]) & differ
    return passes


def verhoeff(digits: Digits) -> Passes:
    """Return which numbers keep Verhoeff's rule of the dihedral group D5 (1969)."""
    import numpy as np

    product = np.array([[int(c) for c in row] for row in _VERHOEFF_PRODUCT.split()])
    turn = np.array([[int(c) for c in row] for row in _VERHOEFF_TURN.split()])
    state = np.zeros(digits.shape[0], dtype=np.int64)
    for place, digit in enumerate(digits[:, ::-1].T):
        state = product[state, turn[place % 8, digit]]
    passes: Passes = state == 0
    return passes


def indian_resident(digits: Digits) -> Passes:
    """Return which are Aadhaar numbers: Verhoeff's rule, first digit from 2, no palindrome."""
    is_palindrome = (digits == digits[:, ::-1]).all(axis=1)
    passes: Passes = verhoeff(digits) & (digits[:, 0] >= 2) & ~is_palindrome
    return passes


def french_person(digits: Digits) -> Passes:
    """Return which are French NIRs: 97 minus the rest by 97 of thirteen digits."""
    passes: Passes = 97 - number(digits[:, :13]) % 97 == number(digits[:, 13:])
    return passes


def spanish_letters(numbers: Digits, letters: Digits) -> Passes:
    """Return which Spanish numbers (n,) have the letter (n,) of their rest by 23."""
    import numpy as np

    alphabet = np.array([ord(c) - ord("A") + 10 for c in "TRWAGMYFPDXBNJZSQVHLCKE"])
    passes: Passes = alphabet[numbers % 23] == letters
    return passes


def finnish_letters(numbers: Digits, letters: Digits) -> Passes:
    """Return which Finnish numbers (n,) have the sign (n,) of their rest by 31."""
    import numpy as np

    alphabet = np.array([int(c, 36) for c in "0123456789ABCDEFHJKLMNPRSTUVWXY"])
    passes: Passes = alphabet[numbers % 31] == letters
    return passes


def italian_person(letters: Digits) -> Passes:
    """Return which Italian codici fiscali, codes 0 to 35 (n, 16), have their check letter."""
    import numpy as np

    odd = np.array(_ITALIAN_ODD)
    values = np.where(letters > 9, letters - 10, letters)
    sums = odd[values[:, 0:15:2]].sum(axis=1) + values[:, 1:15:2].sum(axis=1)
    passes: Passes = sums % 26 + 10 == letters[:, 15]
    return passes
