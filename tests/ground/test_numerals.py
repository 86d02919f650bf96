"""Numbers from outside: exact where they are numbers, refused at once where they are traps."""

from __future__ import annotations

from fractions import Fraction

import pytest

from facecap_batch.numerals import MAX_SHOWN, exact
from facecap_batch.timecode import is_time, parse_rate, parse_time

TRAPS = (
    *("1e999999999", "1e99999999", "1E+400", "1e-999999999", "1e400", "1/0", "0/0", "1/1e9", "9" * 400),
    *("0." + "1" * 4000, "nan", "inf", "-inf", "", " ", "1_000", "٣", "²", "0x10", "1,5", "1/2/3", "--1"),
)


def test_numbers_are_exact() -> None:
    for text, number in {
        "12": Fraction(12),
        " -12.5 ": Fraction(-25, 2),
        ".5": Fraction(1, 2),
        "5.": Fraction(5),
        "1e-3": Fraction(1, 1000),
        "30000/1001": Fraction(30000, 1001),
        "0.30000000000000004": Fraction(30000000000000004, 10**17),
    }.items():
        assert exact(text) == number


def test_what_records_hold_can_be_read_again() -> None:
    for text in ("1e-99", "9" * 96 + "e99", "0." + "3" * 98):
        assert exact(str(exact(text))) == exact(text)
        float(exact(text))


@pytest.mark.parametrize("text", TRAPS)
def test_traps_are_refused_at_once(text: str) -> None:
    assert not is_time(text)
    for parse in (exact, parse_rate, parse_time, lambda text: parse_time("00:00:01:00", text)):
        with pytest.raises(ValueError) as caught:
            parse(text)
        assert len(str(caught.value)) < MAX_SHOWN + 200


@pytest.mark.parametrize(
    "text", ["00:00:1e999999999", "00:00:01." + "1" * 400, "٠٠:٠٠:٠١", "00:00:01:" + "0" * 99]
)
def test_clocks_are_bounded_too(text: str) -> None:
    assert not is_time(text)
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(text, "25")
