"""Key order: prefixes as half-open ranges, and what a key may be."""

from raftstore.errors import InvalidArgument, TooLarge
from raftstore.protocol import MAX_KEY_BYTES

_LAST_CODE_POINT = "\U0010ffff"


def prefix_end(prefix: str) -> str | None:
    """The first string after every string that starts with the prefix; None when there is none.

    Python compares strings by code point, which is also the order of their UTF-8 bytes.
    """
    stem = prefix.rstrip(_LAST_CODE_POINT)
    if not stem:
        return None
    return stem[:-1] + chr(ord(stem[-1]) + 1)


def check_key(key: str) -> None:
    """Refuse keys that are empty or too long."""
    if not key:
        raise InvalidArgument("a key may not be empty")
    if len(key) > MAX_KEY_BYTES or len(key.encode()) > MAX_KEY_BYTES:
        raise TooLarge(f"a key of more than {MAX_KEY_BYTES} bytes")
