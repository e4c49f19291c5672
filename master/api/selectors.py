"""Label and field selectors: parsing, matching, canonical text.

The grammar and every error text follow Kubernetes' own parser, because clients print them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from master.api.meta import LabelSelector
from master.api.status import BadRequest
from master.api.validation.names import label_key_faults, label_value_faults

_TOKEN = re.compile(r"\s*(?:(==|!=|[!,()=<>])|([^\s!,()=<>]+)|$)")
_SYMBOLS = {"==": "=", "=": "=", "!=": "!=", ">": ">", "<": "<", "in": "in", "notin": "notin"}
_EXPECTED_OPERATORS = "in, notin, =, ==, !=, gt, lt"
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


class Requirement(NamedTuple):
    """One condition on one label; `op` is `=`, `!=`, `in`, `notin`, `exists`, `!`, `>` or `<`, values are sorted."""

    key: str
    op: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.op:
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and _compare(value, self.op, self.values[0])

    def __str__(self) -> str:
        match self.op:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.op} ({','.join(self.values)})"
            case _:
                return f"{self.key}{self.op}{self.values[0]}"


def _compare(value: str, op: str, bound: str) -> bool:
    try:
        left, right = int(value), int(bound)
    except ValueError:
        return False
    return left > right if op == ">" else left < right


class Selector:
    """A conjunction of requirements; `nothing` is the selector of an absent LabelSelector."""

    __slots__ = ("nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements))
        self.nothing = nothing

    @property
    def everything(self) -> bool:
        return not self.nothing and not self.requirements

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)

    def exact(self) -> dict[str, str]:
        """The labels that a match must carry with a known value; an index over labels can use them."""
        return {r.key: r.values[0] for r in self.requirements if r.op == "=" or (r.op == "in" and len(r.values) == 1)}

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)

    def __repr__(self) -> str:
        return f"Selector({'<nothing>' if self.nothing else str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selector):
            return NotImplemented
        return (self.nothing, self.requirements) == (other.nothing, other.requirements)

    def __hash__(self) -> int:
        return hash((self.nothing, self.requirements))


LabelSelectorMatcher = Selector
EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def selector_from(selector: LabelSelector | Mapping[str, Any] | None) -> Selector:
    """The Selector of a LabelSelector, of its dict form, or of a plain label map (as ReplicationControllers have).

    None selects nothing, an empty LabelSelector everything. ValueError for an unknown operator."""
    if selector is None:
        return NOTHING
    if not isinstance(selector, LabelSelector):
        if not selector.keys() <= {"matchLabels", "matchExpressions"}:
            return Selector(Requirement(key, "=", (value,)) for key, value in selector.items())
        selector = msgspec.convert(selector, LabelSelector)
    requirements = [Requirement(key, "=", (value,)) for key, value in selector.match_labels.items()]
    for expression in selector.match_expressions:
        op = _OPERATORS.get(expression.operator)
        if op is None:
            raise ValueError(f'"{expression.operator}" is not a valid label selector operator')
        requirements.append(Requirement(expression.key, op, tuple(sorted(set(expression.values)))))
    return Selector(requirements)


def parse_label_selector(text: str) -> Selector:
    """The `labelSelector` parameter of a list or watch; BadRequest when it does not parse."""
    return Selector(_Parser(text).requirements()) if text.strip() else EVERYTHING


class _Parser:
    """Recursive descent over tokens; a token is (is_word, text), and ("", False) marks the end."""

    def __init__(self, text: str) -> None:
        found = _TOKEN.finditer(text)
        self._tokens = [(bool(match.group(2)), match.group(1) or match.group(2) or "") for match in found]
        self._position = 0

    def _peek(self) -> tuple[bool, str]:
        return self._tokens[self._position] if self._position < len(self._tokens) else (False, "")

    def _take(self) -> tuple[bool, str]:
        token = self._peek()
        self._position += 1
        return token

    def requirements(self) -> Iterable[Requirement]:
        while True:
            word, text = self._peek()
            if not word and text == "":
                return
            if not word and text != "!":
                raise BadRequest(f"found '{text}', expected: !, identifier, or 'end of string'")
            yield self._requirement()
            word, text = self._take()
            if not word and text == "":
                return
            if text != ",":
                raise BadRequest(f"found '{text}', expected: ',' or 'end of string'")
            word, text = self._peek()
            if not word and text != "!":
                raise BadRequest(f"found '{text}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        word, key = self._take()
        negated = not word and key == "!"
        if negated:
            word, key = self._take()
        if not word:
            raise _unparsable(f"found '{key}', expected: identifier")
        for fault in label_key_faults(key):
            raise _unparsable(f'<nil>: Invalid value: "{key}": {fault}')
        word, text = self._peek()
        if negated or text in ("", ","):
            return Requirement(key, "!" if negated else "exists")
        op = _SYMBOLS.get(self._take()[1])
        if op is None:
            raise _unparsable(f"found '{text}', expected: {_EXPECTED_OPERATORS}")
        values = self._values() if op in ("in", "notin") else (self._value(),)
        _check_values(key, op, values)
        return Requirement(key, op, values)

    def _value(self) -> str:
        word, text = self._peek()
        if word:
            return self._take()[1]
        if text in ("", ","):
            return ""
        raise _unparsable(f"found '{text}', expected: identifier")

    def _values(self) -> tuple[str, ...]:
        _, text = self._take()
        if text != "(":
            raise _unparsable(f"found '{text}' expected: '('")
        values = [self._listed()]
        while True:
            _, text = self._take()
            if text == ")":
                return tuple(sorted(set(values)))
            if text != ",":
                raise _unparsable(f"found '{text}', expected: ',' or ')'")
            values.append(self._listed())

    def _listed(self) -> str:
        word, text = self._peek()
        if word:
            return self._take()[1]
        if text in (",", ")"):
            return ""
        raise _unparsable(f"found '{text}', expected: ',', ')' or identifier")


def _check_values(key: str, op: str, values: Sequence[str]) -> None:
    if op in ("<", ">"):
        try:
            int(values[0])
        except ValueError:
            fault = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _unparsable(f'values[0]: Invalid value: "{values[0]}": {fault}') from None
    for index, value in enumerate(values):
        for fault in label_value_faults(value):
            raise _unparsable(f'values[{index}][{key}]: Invalid value: "{value}": {fault}')


def _unparsable(detail: str) -> BadRequest:
    return BadRequest(f"unable to parse requirement: {detail}")


class FieldRequirement(NamedTuple):
    """One condition of a field selector; `op` is `=` or `!=`."""

    field: str
    op: str
    value: str


def parse_field_selector(text: str) -> list[FieldRequirement]:
    """The `fieldSelector` parameter: `a=b,c!=d`, values with backslash escapes. BadRequest when it does not parse."""
    requirements = []
    for term in _split_terms(text):
        if not term:
            continue
        match = re.match(r"((?:[^\\=!]|\\.)*?)(!=|==|=)", term, re.DOTALL)
        if match is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        op = "!=" if match.group(2) == "!=" else "="
        requirements.append(FieldRequirement(match.group(1), op, _unescape(term[match.end() :])))
    return requirements


def _split_terms(text: str) -> list[str]:
    """Split at commas that are not escaped."""
    return re.findall(r"(?:[^\\,]|\\.)+", text, re.DOTALL)


def _unescape(value: str) -> str:
    if re.search(r"(?<!\\)(?:\\\\)*\\(?![\\,=])", value):
        raise BadRequest(f"invalid field selector: invalid escape sequence in value {value}")
    return re.sub(r"\\([\\,=])", r"\1", value)


def match_fields(requirements: Sequence[FieldRequirement], fields: Mapping[str, str]) -> bool:
    """Whether an object's selectable fields satisfy all requirements; an absent field counts as empty."""
    return all((fields.get(r.field, "") == r.value) == (r.op == "=") for r in requirements)
