"""The query of a list or watch: versions, pages, selectors; and the words with which bad ones are refused."""

import base64
import binascii
from typing import NamedTuple

import msgspec

from master.api.scheme import ResourceInfo
from master.api.status import FieldError
from master.apiserver import errors
from master.apiserver.request import Request

EXACT, NOT_OLDER = "Exact", "NotOlderThan"
MATCH_FIELD = "resourceVersionMatch"
PAGE_LIMIT = 10_000
"""Objects in one page when a client asks for pages; more are cut to this (client-go's pager asks for 500)."""


class Continue(msgspec.Struct, frozen=True):
    """The opaque continue token: where the next page starts, and the revision of all pages (0: the newest)."""

    start: str
    rv: int
    v: str = "timonier/v1"


class ListOptions(NamedTuple):
    revision: int | None
    match: str
    limit: int
    token: Continue | None
    send_initial_events: bool | None
    bookmarks: bool
    timeout_s: int


def encode_token(start: str, revision: int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(Continue(start, revision))).decode().rstrip("=")


def decode_token(text: str) -> Continue:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=Continue)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise errors.bad_request(f"invalid continue token: continue key is not valid: {error}") from error


def _integer(text: str) -> int:
    sign = text[1:] if text[:1] in "+-" else text
    if not (sign.isascii() and sign.isdecimal()):
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def parse_revision(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise errors.bad_request(f"invalid resource version: {why}")
    return int(text)


def parse_list_options(request: Request, info: ResourceInfo, *, watch: bool) -> ListOptions:
    revision_text, match = request.param("resourceVersion"), request.param(MATCH_FIELD)
    limit_text, timeout_text = request.param("limit"), request.param("timeoutSeconds")
    limit = _integer(limit_text) if limit_text else 0
    timeout_s = _integer(timeout_text) if timeout_text else 0
    token_text = request.param("continue")
    initial = request.flag("sendInitialEvents") if "sendInitialEvents" in request.query else None
    problems = _problems(revision_text, match, token_text, initial, watch=watch)
    if problems:
        raise errors.invalid_options("ListOptions", problems)
    revision = parse_revision(revision_text)
    token = None
    if token_text and not watch:
        if revision:
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        token = decode_token(token_text)
    bookmarks = request.flag("allowWatchBookmarks")
    return ListOptions(revision, match, max(0, min(limit, PAGE_LIMIT)), token, initial, bookmarks, max(0, timeout_s))


def _problems(revision: str, match: str, token: str, initial: bool | None, *, watch: bool) -> list[FieldError]:
    def refuse(why: str, field: str = MATCH_FIELD) -> list[FieldError]:
        return [FieldError.forbidden(field, why)]

    if initial is not None and not watch:
        return refuse("sendInitialEvents is forbidden for list", "sendInitialEvents")
    if watch:
        if initial is not None and match != NOT_OLDER:
            return refuse("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        if initial is None and match:
            return refuse("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        return []
    if not match:
        return []
    if not revision:
        return refuse("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if token:
        return refuse("resourceVersionMatch is forbidden when continue is provided")
    if match not in (EXACT, NOT_OLDER):
        return [FieldError.not_supported(MATCH_FIELD, match, [EXACT, NOT_OLDER, ""])]
    if match == EXACT and revision == "0":
        return refuse('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    return []
