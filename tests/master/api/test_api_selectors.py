"""Label and field selectors: grammar, matching, canonical text, upstream's error texts."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.meta import LabelSelector, LabelSelectorRequirement
from master.api.selectors import (
    Selector,
    match_fields,
    parse_field_selector,
    parse_label_selector,
    selector_from,
)
from master.api.status import BadRequest


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a in (x, y)", {"a": "y"}, True),
        ("a in (x,y)", {}, False),
        ("a notin (x,y)", {}, True),
        ("a notin (x,y)", {"a": "x"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a>5", {"a": "6"}, True),
        ("a<5", {"a": "x"}, False),
        ("a=,b=c", {"a": "", "b": "c"}, True),
        ("in in (in)", {"in": "in"}, True),
        ("example.com/x=y", {"example.com/x": "y"}, True),
    ],
)
def test_matching(text: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_label_selector(text).matches(labels) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a,,", "found ',', expected: identifier after ','"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
    ],
)
def test_bad_selectors_are_refused_in_upstream_words(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_label_selector(text)
    assert caught.value.message == message


def test_bad_keys_and_values_are_refused() -> None:
    for text in ("a/b/c=d", "a=b_", "a>x"):
        with pytest.raises(BadRequest):
            parse_label_selector(text)


def test_the_selector_of_an_object() -> None:
    expressions = [
        LabelSelectorRequirement(key="f", operator="DoesNotExist"),
        LabelSelectorRequirement(key="c", operator="In", values=["e", "d"]),
    ]
    selector = selector_from(LabelSelector(match_labels={"a": "b"}, match_expressions=expressions))
    assert str(selector) == "a=b,c in (d,e),!f"
    assert selector.exact() == {"a": "b"}
    assert selector_from({"matchLabels": {"a": "b"}}) == selector_from({"a": "b"}) == parse_label_selector("a=b")
    assert not selector_from(None).matches({})
    assert selector_from(LabelSelector()).matches({"x": "y"})
    assert selector_from(LabelSelector()).everything
    with pytest.raises(ValueError, match="Foo"):
        selector_from(LabelSelector(match_expressions=[LabelSelectorRequirement(key="a", operator="Foo")]))


KEYS = st.sampled_from(["a", "b", "x/c"])
VALUES = st.sampled_from(["", "v", "w", "1", "7"])
TERMS = st.one_of(
    st.builds("{}{}{}".format, KEYS, st.sampled_from(["=", "!="]), VALUES),
    st.builds("{}{}{}".format, KEYS, st.sampled_from([">", "<"]), st.sampled_from(["1", "5"])),
    KEYS,
    KEYS.map("!{}".format),
    st.builds(
        lambda key, op, values: f"{key} {op} ({','.join(values)})",
        KEYS,
        st.sampled_from(["in", "notin"]),
        st.lists(VALUES, min_size=1, max_size=3),
    ),
)
LABELS = st.dictionaries(KEYS, VALUES)


@given(st.lists(TERMS, max_size=4), LABELS)
def test_the_canonical_text_selects_the_same(terms: list[str], labels: dict[str, str]) -> None:
    selector = parse_label_selector(",".join(terms))
    again = parse_label_selector(str(selector))
    assert str(again) == str(selector)
    assert again.matches(labels) == selector.matches(labels)
    assert selector.matches(labels) == all(parse_label_selector(term).matches(labels) for term in terms)


@given(st.text(" a=!,()<>in", max_size=12))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    with suppress(BadRequest):
        assert isinstance(parse_label_selector(text), Selector)


def test_field_selectors() -> None:
    parsed = parse_field_selector(r"metadata.name=x,status.phase!=Running,a==b\,c\=d\\")
    assert parsed == [("metadata.name", "=", "x"), ("status.phase", "!=", "Running"), ("a", "=", "b,c=d\\")]
    assert parse_field_selector("") == []
    assert match_fields(parsed[:2], {"metadata.name": "x", "status.phase": "Pending"})
    assert not match_fields(parsed[:2], {"metadata.name": "x", "status.phase": "Running"})
    assert match_fields(parse_field_selector("spec.nodeName="), {})
    with pytest.raises(BadRequest) as caught:
        parse_field_selector("a")
    assert caught.value.message == "invalid selector: 'a'; can't understand 'a'"
    with pytest.raises(BadRequest):
        parse_field_selector(r"a=b\c")
