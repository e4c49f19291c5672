"""Trees judged against a Struct, once, in one walk: unknown fields, wrong types, nulls, and scalars in canonical form.

The walk does what Go's decoder does to a stranger's body: a null is absence, an unknown field is noted and dropped,
quantities, times and bytes are checked and rewritten. What comes out converts to the Struct without fail.
For every Struct the walk is compiled once into closures.
"""

import binascii
import re
import types
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from master.api import quantity
from master.api.model import BYTES, MICRO_TIME, QUANTITY, TIME, Int32, Scalar
from master.api.timestamps import micro_rfc3339, now_rfc3339, parse_rfc3339
from master.api.wire.json_text import INT64_MAX, INT64_MIN, Path, path_text

Check = Callable[[Any, Path, list[str]], Any]
"""(value, its path, findings to add to) -> the value in canonical form. Raises ShapeFault."""

_TIME_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_CANONICAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FRACTION = re.compile(r"[^.]*\.\d{6}\D.*")


class ShapeFault(ValueError):
    """A value that does not fit its field; the message is Go's."""


class _Mismatch(ShapeFault):
    """A JSON type that does not fit; the struct around it completes the message."""

    def __init__(self, word: str, go_type: str, path: Path) -> None:
        super().__init__(f"json: cannot unmarshal {word} into Go value of type {go_type}")
        self.word, self.go_type, self.path = word, go_type, path


def check_shape(struct: type[msgspec.Struct], tree: Any) -> tuple[dict[str, Any], list[str]]:
    """(tree in canonical form, unknown fields as `unknown field "spec.foo"`)."""
    findings: list[str] = []
    shaped: dict[str, Any] = _struct(struct)(tree, None, findings)
    return shaped, findings


@cache  # bounded by the number of Structs
def _struct(struct: type[msgspec.Struct]) -> Check:
    hints = get_type_hints(struct, include_extras=True)
    pairs = zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    fields = {wire_name: _check_of(hints[name]) for name, wire_name in pairs}
    go_name = struct.__name__

    def check(value: Any, path: Path, findings: list[str]) -> Any:
        if type(value) is not dict:
            raise _Mismatch(_word(value), f"v1.{go_name}", path)
        shaped = {}
        for name, item in value.items():
            judge = fields.get(name)
            if judge is None:
                findings.append(f'unknown field "{path_text((path, name))}"')
            elif item is not None:
                try:
                    shaped[name] = judge(item, (path, name), findings)
                except _Mismatch as fault:
                    raise _complete(fault, go_name) from None
        return shaped

    return check


def _complete(fault: _Mismatch, go_name: str) -> ShapeFault:
    where = f"Go struct field {go_name}.{path_text(fault.path, indexes=False)}"
    return ShapeFault(f"json: cannot unmarshal {fault.word} into {where} of type {fault.go_type}")


def _check_of(hint: Any) -> Check:
    """The check of a field's annotation."""
    scalar, hint = _unwrap(hint)
    if scalar is not None:
        return _SCALARS[scalar]
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin = get_origin(hint)
    if origin is list:
        return _list(get_args(hint)[0])
    if origin is dict:
        return _map(get_args(hint)[1])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _lazy(hint)
    raise TypeError(f"no wire form for {hint!r}")


def _unwrap(hint: Any) -> tuple[Scalar | None, Any]:
    """Strips None and annotations; finds the scalar mark on the way."""
    while True:
        if hint == Int32:
            return None, Int32
        if get_origin(hint) is Annotated:
            marks = [mark for mark in hint.__metadata__ if isinstance(mark, Scalar)]
            if marks:
                return marks[0], None
            hint = hint.__origin__
        elif get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
            rest = tuple(arg for arg in get_args(hint) if arg is not type(None))
            hint = Union[rest]  # noqa: UP007 - built at run time
        else:
            return None, hint


def _lazy(struct: type[msgspec.Struct]) -> Check:
    """Structs may contain themselves, so their checks are looked up when first used."""

    def check(value: Any, path: Path, findings: list[str]) -> Any:
        return _struct(struct)(value, path, findings)

    return check


def _list(hint: Any) -> Check:
    judge = _check_of(hint)
    go_type = f"[]{_go_name(hint)}"

    def check(value: Any, path: Path, findings: list[str]) -> Any:
        if type(value) is not list:
            raise _Mismatch(_word(value), go_type, path)
        return [
            judge(item, (path, index), findings) if item is not None else _zero(hint)
            for index, item in enumerate(value)
        ]

    return check


def _map(hint: Any) -> Check:
    judge = _check_of(hint)
    go_type = f"map[string]{_go_name(hint)}"

    def check(value: Any, path: Path, findings: list[str]) -> Any:
        if type(value) is not dict:
            raise _Mismatch(_word(value), go_type, path)
        # Go names a map by its field alone, without the key.
        return {key: judge(item, path, findings) if item is not None else _zero(hint) for key, item in value.items()}

    return check


def _zero(hint: Any) -> Any:
    """What Go makes of a null inside a list or map: the zero value."""
    scalar, hint = _unwrap(hint)
    if scalar is QUANTITY:
        return "0"
    if scalar is not None or hint is str:
        return ""
    if hint is bool:
        return False
    return 0 if hint in (int, Int32) else None if hint is Any else {}


def _go_name(hint: Any) -> str:
    scalar, hint = _unwrap(hint)
    if scalar is not None:
        return {TIME: "v1.Time", MICRO_TIME: "v1.MicroTime", QUANTITY: "resource.Quantity", BYTES: "[]uint8"}[scalar]
    names = {str: "string", bool: "bool", int: "int64", Int32: "int32", Any: "interface {}"}
    return names.get(hint) or f"v1.{getattr(hint, '__name__', 'Object')}"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _text(value: Any, path: Path, _findings: list[str]) -> Any:
    if type(value) is not str:
        raise _Mismatch(_word(value), "string", path)
    return value


def _bool(value: Any, path: Path, _findings: list[str]) -> Any:
    if type(value) is not bool:
        raise _Mismatch(_word(value), "bool", path)
    return value


def _integer(low: int, high: int, go_type: str) -> Check:
    def check(value: Any, path: Path, _findings: list[str]) -> Any:
        if type(value) is not int:
            raise _Mismatch(f"number {value}" if type(value) is float else _word(value), go_type, path)
        if not low <= value <= high:
            raise _Mismatch(f"number {value}", go_type, path)
        return value

    return check


_int32 = _integer(-(2**31), 2**31 - 1, "int32")


def _int_or_string(value: Any, _path: Path, findings: list[str]) -> Any:
    if type(value) is str:
        return value
    try:
        return _int32(value, None, findings)
    except _Mismatch as fault:
        raise ShapeFault(str(fault)) from None  # Go's IntOrString does not know its field


def _any(value: Any, _path: Path, _findings: list[str]) -> Any:
    return value


def _quantity(value: Any, _path: Path, _findings: list[str]) -> Any:
    if type(value) not in (str, int, float):
        raise ShapeFault(quantity.FORMAT_WRONG)
    try:
        return quantity.canonical(value.strip() if type(value) is str else value)
    except ValueError as error:
        raise ShapeFault(str(error)) from None


def _time(value: Any, path: Path, _findings: list[str]) -> Any:
    if type(value) is str and _CANONICAL_TIME.fullmatch(value):
        _parse_time(value, _TIME_LAYOUT)
        return value
    if type(value) is not str:
        raise _Mismatch(_word(value), "string", path)
    return now_rfc3339(_parse_time(value, _TIME_LAYOUT))


def _micro_time(value: Any, path: Path, _findings: list[str]) -> Any:
    if type(value) is not str:
        raise _Mismatch(_word(value), "string", path)
    seconds = _parse_time(value, _MICRO_LAYOUT)
    if not _FRACTION.fullmatch(value):
        rest = f'cannot parse "{value[19:]}" as ".000000"'
        raise ShapeFault(f'parsing time "{value}" as "{_MICRO_LAYOUT}": {rest}')
    return value if value.endswith("Z") else micro_rfc3339(seconds)


def _parse_time(value: str, layout: str) -> float:
    try:
        return parse_rfc3339(value)
    except ValueError:
        raise ShapeFault(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"') from None


def _bytes(value: Any, path: Path, _findings: list[str]) -> Any:
    if type(value) is not str:
        raise _Mismatch(_word(value), "[]uint8", path)
    stripped = value.replace("\n", "").replace("\r", "")
    try:
        return b64encode(b64decode(stripped, validate=True)).decode()
    except (binascii.Error, ValueError):
        raise ShapeFault(f"illegal base64 data at input byte {_first_bad_byte(stripped)}") from None


def _first_bad_byte(text: str) -> int:
    """Where Go's base64 reader stops: at the first foreign character, else at the start of the broken last quantum."""
    foreign = re.search(r"[^A-Za-z0-9+/]", text.rstrip("="))
    return foreign.start() if foreign else len(text.rstrip("=")) // 4 * 4


_SCALARS: dict[Scalar, Check] = {QUANTITY: _quantity, TIME: _time, MICRO_TIME: _micro_time, BYTES: _bytes}
_PLAIN: dict[Any, Check] = {
    str: _text,
    bool: _bool,
    int: _integer(INT64_MIN, INT64_MAX, "int64"),
    Int32: _int32,
    Any: _any,
    int | str: _int_or_string,
    Union[int, str]: _int_or_string,  # noqa: UP007 - the form that None-stripping leaves
}
