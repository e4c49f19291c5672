"""Resource amounts: parsing, exact arithmetic and Kubernetes' canonical text.

An amount is kept as an integer number of nano-units, so that sums and comparisons are exact. As in Kubernetes,
more than nine decimals are rounded up (away from zero) and amounts are capped at 2**63 - 1 units.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from master.api.model import Quantity

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

SYNTAX = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
FORMAT_WRONG = f"quantities must match the regular expression '{SYNTAX}'"

_SYNTAX = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")
_SHAPE = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
_NANO = 10**9
_MAX_NANOS = (2**63 - 1) * _NANO
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {0: "", **{power: suffix for suffix, power in _BINARY.items()}}
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)")
_CACHE_ENTRIES = 4096  # distinct texts in a large cluster are few hundred; the bound only guards against abuse
_MAX_EXPONENT = 100  # far beyond every cap; guards against 1e999999999


def _scale(suffix: str) -> tuple[int, int, Format]:
    """(numerator, denominator, format) of a suffix."""
    if suffix in _DECIMAL:
        exponent = _DECIMAL[suffix]
        return (10**exponent, 1, "DecimalSI") if exponent >= 0 else (1, 10**-exponent, "DecimalSI")
    if suffix in _BINARY:
        return 1024 ** _BINARY[suffix], 1, "BinarySI"
    match = _EXPONENT.fullmatch(suffix)
    if match is None:
        raise ValueError("unable to parse quantity's suffix")
    exponent = max(-_MAX_EXPONENT, min(_MAX_EXPONENT, int(match.group(1))))
    return (10**exponent, 1, "DecimalExponent") if exponent >= 0 else (1, 10**-exponent, "DecimalExponent")


@lru_cache(maxsize=_CACHE_ENTRIES)
def _parse(text: str) -> tuple[int, Format]:
    if not _SHAPE.fullmatch(text):
        raise ValueError(FORMAT_WRONG)
    match = _SYNTAX.fullmatch(text)
    if match is None or not (match.group(2) or match.group(3)):
        raise ValueError("unable to parse numeric part of quantity")
    sign, whole, fraction, suffix = match.group(1), match.group(2), match.group(3) or "", match.group(4)
    numerator, denominator, form = _scale(suffix)
    denominator *= 10 ** len(fraction)
    nanos = min(-(-int(whole + fraction) * numerator * _NANO // denominator), _MAX_NANOS)
    return (-nanos if sign == "-" else nanos), form


def nanos_of(quantity: Quantity) -> int:
    """The amount in nano-units, exact."""
    return _parse(quantity if isinstance(quantity, str) else _text(quantity))[0]


def _text(number: int | float) -> str:
    return str(number) if isinstance(number, int) else format(Decimal(repr(number)), "f")


def parse_quantity(quantity: Quantity) -> Decimal:
    """The exact amount; ValueError with Kubernetes' words when it is no quantity."""
    return Decimal(nanos_of(quantity)).scaleb(-9)


def milli(quantity: Quantity) -> int:
    """Thousandths, rounded up: `0.1` CPU is 100."""
    return -(-nanos_of(quantity) // (_NANO // 1000))


def whole(quantity: Quantity) -> int:
    """Units, rounded up: `1Ki` is 1024, `1500m` is 2."""
    return -(-nanos_of(quantity) // _NANO)


@lru_cache(maxsize=_CACHE_ENTRIES)
def _canonical(text: str) -> str:
    return _format(*_parse(text))


def canonical(quantity: Quantity) -> str:
    """The text Kubernetes would store: no fraction, the largest exponent without loss, the family of suffixes kept."""
    return _canonical(quantity if isinstance(quantity, str) else _text(quantity))


def format_quantity(amount: Decimal | int | float, form: Format = "DecimalSI") -> str:
    """An amount as canonical text, e.g. `format_quantity(Decimal("0.25")) == "250m"`."""
    nanos = Decimal(repr(amount) if isinstance(amount, float) else amount) * _NANO
    return _format(int(nanos.to_integral_value(rounding="ROUND_UP")), form)


def _format(nanos: int, form: Format) -> str:
    if form == "BinarySI" and (abs(nanos) < 1024 * _NANO or nanos % _NANO):
        form = "DecimalSI"  # small or fractional amounts would lose precision in powers of 1024
    if form == "BinarySI":
        number, power = nanos // _NANO, 0
        while number % 1024 == 0 and power < 6:
            number, power = number // 1024, power + 1
        return f"{number}{_BINARY_SUFFIX[power]}"
    exponent = -9
    while nanos and nanos % 1000 == 0 and exponent < 18:
        nanos, exponent = nanos // 1000, exponent + 3
    if nanos == 0:
        return "0"
    if form == "DecimalExponent":
        return f"{nanos}e{exponent}" if exponent else str(nanos)
    return f"{nanos}{_DECIMAL_SUFFIX[exponent]}"
