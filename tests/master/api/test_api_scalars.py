"""Quantities and times: Kubernetes' canonical forms and exact arithmetic."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.quantity import canonical, format_quantity, milli, nanos_of, parse_quantity, whole
from master.api.timestamps import age, human_duration, micro_rfc3339, now_rfc3339, parse_rfc3339


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0", "0"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("100000", "100k"),
        ("1e3", "1e3"),
        ("12E6", "12e6"),
        ("0.1Gi", "107374182400m"),
        ("512", "512"),
        ("1023Ki", "1023Ki"),
        ("0.5Ki", "512"),
        ("-5", "-5"),
        ("+5", "5"),
        (".5", "500m"),
        ("5.", "5"),
        ("1.23456789012", "1234567891n"),
        (0.1, "100m"),
        (2, "2"),
        ("1E", "1E"),
    ],
)
def test_canonical_text(text: str | float, shown: str) -> None:
    assert canonical(text) == shown


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "1 ", "Mi", ".", "1x", "0x10", "1ee3", "--1", "1mi"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="quantit"):
        nanos_of(text)


def test_amounts() -> None:
    assert (milli("100m"), milli("0.1"), milli(2), milli("1n")) == (100, 100, 2000, 1)
    assert (whole("1Ki"), whole("1500m"), whole("2")) == (1024, 2, 2)
    assert parse_quantity("1.5Gi") == Decimal(1536 * 1024 * 1024)
    assert format_quantity(Decimal("0.25")) == "250m"
    assert format_quantity(3 * 1024**3, "BinarySI") == "3Gi"
    assert nanos_of("1e99999999") == nanos_of("9223372036854775807")


AMOUNTS = st.builds(
    lambda number, suffix: f"{number}{suffix}",
    st.decimals(min_value=-9999, max_value=9999, places=3, allow_nan=False),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2"]),
)


@given(AMOUNTS)
def test_the_canonical_text_is_the_same_amount_and_stays_as_it_is(text: str) -> None:
    shown = canonical(text)
    assert nanos_of(shown) == nanos_of(text)
    assert canonical(shown) == shown


@given(AMOUNTS)
def test_rounding_up_never_loses(text: str) -> None:
    exact = Fraction(nanos_of(text), 10**9)
    assert 0 <= milli(text) - exact * 1000 < 1
    assert 0 <= whole(text) - exact < 1


def test_times() -> None:
    assert now_rfc3339(0.9) == "1970-01-01T00:00:00Z"
    assert micro_rfc3339(1.5) == "1970-01-01T00:00:01.500000Z"
    assert parse_rfc3339("1970-01-01T01:00:00+01:00") == 0
    assert parse_rfc3339("1970-01-01T00:00:01.250000000Z") == 1.25
    for text in ("", "now", "1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z"):
        with pytest.raises(ValueError):
            parse_rfc3339(text)


@given(st.integers(0, 4_000_000_000))
def test_times_survive_their_text(seconds: int) -> None:
    assert parse_rfc3339(now_rfc3339(seconds)) == seconds
    assert parse_rfc3339(micro_rfc3339(seconds + 0.5)) == seconds + 0.5


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (90, "90s"),
        (120, "2m"),
        (270, "4m30s"),
        (600, "10m"),
        (45 * 60 + 59, "45m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 900, "3h15m"),
        (30 * 3600, "30h"),
        (3 * 86400 + 4 * 3600, "3d4h"),
        (400 * 86400, "400d"),
        (3 * 365 * 86400 + 20 * 86400, "3y20d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_human_durations(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown


def test_age_of_nothing_is_unknown() -> None:
    assert age(None, 5.0) == "<unknown>"
    assert age("1970-01-01T00:00:00Z", 5.0) == "5s"
