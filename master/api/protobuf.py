"""Bodies of `application/vnd.kubernetes.protobuf` as the tree a JSON client would have sent.

kubectl and other typed clients send built-in kinds this way. The field numbers come from `protobuf_fields.json`
(`number: "jsonName type flags"`): p pointer (presence matters), r repeated, m map with text keys, i inline (the fields
belong to the parent). Plain values are always on the wire, so empty ones mean absence. Unknown numbers are skipped.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from importlib import resources
from typing import Any, NamedTuple

from master.api.timestamps import micro_rfc3339, now_rfc3339

MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10
_PACKAGES = {
    "": "core",
    "apps": "apps",
    "autoscaling": "autoscaling",
    "coordination.k8s.io": "coordination",
    "discovery.k8s.io": "discovery",
    "policy": "policy",
}
_ZERO_TIME_S = -62135596800  # year 1, Go's zero time


class ProtobufFault(ValueError):
    """Bytes that are no protobuf body of a kind we know."""


class _Field(NamedTuple):
    name: str
    read: Callable[[Any], Any]
    is_message: bool
    pointer: bool
    repeated: bool
    is_map: bool
    inline: bool


def decode(body: bytes) -> dict[str, Any]:
    """The tree of an enveloped body, with kind and apiVersion as far as the envelope names them."""
    if body[:4] != MAGIC:
        raise ProtobufFault("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        return _envelope(memoryview(body)[4:])
    except (IndexError, UnicodeDecodeError) as error:
        raise ProtobufFault("unexpected EOF") from error


def _envelope(data: memoryview) -> dict[str, Any]:
    api_version = kind = ""
    raw = memoryview(b"")
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            for inner, text in _fields(value):
                if inner == 1:
                    api_version = _text(text)
                elif inner == 2:
                    kind = _text(text)
        elif number == 2 and isinstance(value, memoryview):
            raw = value
    if not kind or not api_version:
        raise ProtobufFault("protobuf body without kind or apiVersion")
    return {"kind": kind, "apiVersion": api_version, **_message(_message_of(api_version, kind), raw)}


def _message_of(api_version: str, kind: str) -> str:
    package = "meta" if kind == "DeleteOptions" else _PACKAGES.get(api_version.rpartition("/")[0], "")
    name = f"{package}.{kind}"
    if name not in _table():
        raise ProtobufFault(f'no kind "{kind}" is registered for version "{api_version}"')
    return name


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) pairs of one message; numbers as unsigned 64 bits, anything with a length as bytes."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        wire_type = key & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(data, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ProtobufFault(f"proto: illegal wireType {wire_type}")
        if position + size > end:
            raise ProtobufFault("unexpected EOF")
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, position
    raise ProtobufFault("proto: integer overflow")


def _message(name: str, data: memoryview) -> dict[str, Any]:
    """One message by its table; empty plain values are left out."""
    tree: dict[str, Any] = {}
    plan = _plan(name)
    for number, raw in _fields(data):
        field = plan.get(number)
        if field is None:
            continue
        if field.is_map:
            key, value = _entry(field, raw)
            tree.setdefault(field.name, {})[key] = value
        elif field.repeated:
            tree.setdefault(field.name, []).extend(_elements(field, raw))
        elif field.inline:
            tree.update(field.read(raw))
        else:
            value = field.read(raw)
            if value or (field.pointer and value is not None):
                tree[field.name] = value
    return tree


def _entry(field: _Field, raw: Any) -> tuple[str, Any]:
    key: str = ""
    value: Any = None
    for number, part in _fields(_blob(raw)):
        if number == 1:
            key = _text(part)
        elif number == 2:
            value = field.read(part)
    return key, ("" if value is None else value)


def _elements(field: _Field, raw: Any) -> list[Any]:
    """One element, or many when numbers come packed."""
    if field.is_message or field.read in (_text, _base64) or isinstance(raw, int):
        return [field.read(raw)]
    values, position = [], 0
    while position < len(raw):
        number, position = _varint(raw, position)
        values.append(field.read(number))
    return values


def _blob(raw: Any) -> memoryview:
    if not isinstance(raw, memoryview):
        raise ProtobufFault("proto: wrong wireType")
    return raw


def _text(raw: Any) -> str:
    return str(_blob(raw), "utf-8")


def _integer(raw: Any) -> int:
    if not isinstance(raw, int):
        raise ProtobufFault("proto: wrong wireType")
    return raw - (1 << 64) if raw >> 63 else raw


def _bool(raw: Any) -> bool:
    return _integer(raw) != 0


def _base64(raw: Any) -> str:
    return b64encode(_blob(raw)).decode()


def _seconds(raw: Any) -> tuple[int, int] | None:
    parts = {number: _integer(value) for number, value in _fields(_blob(raw))}
    seconds = parts.get(1, 0)
    return None if not parts or seconds == _ZERO_TIME_S else (seconds, parts.get(2, 0))


def _time(raw: Any) -> str | None:
    moment = _seconds(raw)
    return now_rfc3339(moment[0]) if moment else None


def _micro_time(raw: Any) -> str | None:
    moment = _seconds(raw)
    return micro_rfc3339(moment[0] + moment[1] // 1000 / 1_000_000) if moment else None


def _quantity(raw: Any) -> str:
    return next((_text(value) for number, value in _fields(_blob(raw)) if number == 1), "")


def _int_or_string(raw: Any) -> int | str:
    parts = dict(_fields(_blob(raw)))
    return _text(parts.get(3, memoryview(b""))) if parts.get(1, 0) == 1 else _integer(parts.get(2, 0))


def _embedded_json(raw: Any) -> Any:
    for number, value in _fields(_blob(raw)):
        if number == 1:
            try:
                return json.loads(bytes(_blob(value)))
            except (ValueError, RecursionError) as error:
                raise ProtobufFault(str(error)) from None
    return None


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "bytes": _base64,
    "bool": _bool,
    "int32": _integer,
    "int64": _integer,
    "time": _time,
    "microTime": _micro_time,
    "quantity": _quantity,
    "intOrString": _int_or_string,
    "json": _embedded_json,
}
_MESSAGE_LIKE = frozenset({"time", "microTime", "quantity", "intOrString", "json"})


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = json.loads(
        resources.files(__package__).joinpath("protobuf_fields.json").read_text()
    )
    return table


@cache  # bounded by the number of messages
def _plan(name: str) -> dict[int, _Field]:
    return {int(number): _field(spec) for number, spec in _table()[name].items()}


def _field(spec: str) -> _Field:
    name, kind, flags = [*spec.split(" "), ""][:3]
    return _Field(
        name=name,
        read=_READERS.get(kind) or _reader(kind),
        is_message=kind not in _READERS or kind in _MESSAGE_LIKE,
        pointer="p" in flags or kind == "intOrString",
        repeated="r" in flags,
        is_map="m" in flags,
        inline="i" in flags,
    )


def _reader(message: str) -> Callable[[Any], Any]:
    return lambda raw: _message(message, _blob(raw))
