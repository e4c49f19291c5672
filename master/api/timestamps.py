"""Times of the API: RFC 3339 text in UTC, seconds for `Time`, six fractional digits for `MicroTime`, and human ages.

Pure functions of epoch seconds; the caller owns the clock.
"""

import re
import time
from datetime import datetime

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S
YEAR_S = 365 * DAY_S


def now_rfc3339(epoch_s: float) -> str:
    """`2026-01-02T15:04:05Z`; fractions are cut off, as Kubernetes does."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_s // 1)).zfill(20)


def micro_rfc3339(epoch_s: float) -> str:
    """`2026-01-02T15:04:05.000000Z`: MicroTime always carries its six digits, clients refuse it without."""
    micros = round(epoch_s * 1_000_000)
    seconds, fraction = divmod(micros, 1_000_000)
    return f"{now_rfc3339(seconds)[:-1]}.{fraction:06d}Z"


def parse_rfc3339(text: str) -> float:
    """Epoch seconds of an RFC 3339 time with any fraction and offset; ValueError for anything else."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    fraction, zone = match.group(1), match.group(2)
    whole = datetime.fromisoformat(text[:19] + ("+00:00" if zone == "Z" else zone)).timestamp()
    return whole + float(fraction) if fraction else whole


def human_duration(seconds: float) -> str:
    """The age shown in tables: two units while the larger one is small, one unit later."""
    total = int(seconds)
    if seconds <= -2:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 2 * MINUTE_S:
        return f"{total}s"
    if total < 10 * MINUTE_S:
        return _two(total, MINUTE_S, "m", 1, "s")
    if total < 3 * HOUR_S:
        return f"{total // MINUTE_S}m"
    if total < 8 * HOUR_S:
        return _two(total, HOUR_S, "h", MINUTE_S, "m")
    if total < 48 * HOUR_S:
        return f"{total // HOUR_S}h"
    if total < 8 * DAY_S:
        return _two(total, DAY_S, "d", HOUR_S, "h")
    if total < 2 * YEAR_S:
        return f"{total // DAY_S}d"
    if total < 8 * YEAR_S:
        return _two(total, YEAR_S, "y", DAY_S, "d")
    return f"{total // YEAR_S}y"


def _two(total: int, large_s: int, large: str, small_s: int, small: str) -> str:
    rest = total % large_s // small_s
    return f"{total // large_s}{large}{rest}{small}" if rest else f"{total // large_s}{large}"


def age(timestamp: str | None, now_s: float) -> str:
    """The age cell of a table: `<unknown>` without a time."""
    if not timestamp:
        return "<unknown>"
    return human_duration(now_s - parse_rfc3339(timestamp))
