"""What every API type is built from: the base classes, scalar aliases and merge annotations.

A type is a msgspec Struct whose attributes are snake_case in Python and camelCase on the wire.
Go's encoder decides what a client sees, so three habits of it are kept: empty optional fields are left out,
*required* fields are written even when empty (`required`), and embedded messages are written as `{}`.
"""

from typing import Annotated, Any

import msgspec

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Scalar(msgspec.Struct, frozen=True):
    """Marks a text whose content has rules of its own; `wire/shape.py` checks them in the bodies of clients."""

    name: str


QUANTITY = Scalar("quantity")
TIME = Scalar("time")
MICRO_TIME = Scalar("microTime")
BYTES = Scalar("bytes")

Quantity = Annotated[str | int | float, QUANTITY]
"""A resource amount such as `100m` or `1Gi`; clients may send plain numbers. `quantity.py` has the arithmetic."""
IntOrString = int | str
"""A count or a percentage/name: `3`, `"25%"`, `"http"`."""
Time = Annotated[str, TIME]
"""RFC 3339 in UTC with seconds, `2026-01-02T15:04:05Z`."""
MicroTime = Annotated[str, MICRO_TIME]
"""RFC 3339 in UTC with six fractional digits."""
Bytes = Annotated[str, BYTES]
"""Base64 text."""


class Model(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """Any value inside an API object."""


class MergeBy(msgspec.Struct, frozen=True):
    """A list merged by key: `key` for strategic patches, `keys` for server-side apply (the same when empty)."""

    key: str = ""
    keys: tuple[str, ...] = ()
    retain_keys: bool = False


class MergeSet(msgspec.Struct, frozen=True):
    """A list of scalars with set semantics; `strategic` says that strategic patches merge it too."""

    strategic: bool


class RetainKeys(msgspec.Struct, frozen=True):
    """An object whose strategic patch names the keys to keep (`$retainKeys`)."""


MERGE_SET = MergeSet(strategic=True)
SET = MergeSet(strategic=False)
RETAIN_KEYS = RetainKeys()


def required(zero: Any, *, name: str | None = None) -> Any:
    """A field that is encoded even when empty; absence is judged by validation, not by decoding.

    msgspec leaves out only values identical to a plain default, never those from a factory."""
    return msgspec.field(default_factory=lambda: zero, name=name)


def required_list(*, name: str | None = None) -> Any:
    """A list that is encoded even when empty."""
    return msgspec.field(default_factory=lambda: [], name=name)
