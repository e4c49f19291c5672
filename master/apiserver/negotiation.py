"""The Accept header: which media type and which shape (plain, Table, PartialObjectMetadata) an answer takes."""

from functools import lru_cache
from typing import NamedTuple

JSON = "application/json"
YAML = "application/yaml"
PLAIN = ""
TABLE = "Table"
METADATA = "PartialObjectMetadata"
METADATA_LIST = "PartialObjectMetadataList"

_META_GROUP = "meta.k8s.io"
_META_VERSIONS = frozenset({"v1", "v1beta1"})


class Form(NamedTuple):
    media_type: str
    shape: str = PLAIN
    version: str = "v1"


PLAIN_JSON = Form(JSON)


class AcceptEntry(NamedTuple):
    media_type: str
    params: dict[str, str]


@lru_cache(maxsize=256)
def parse_accept(header: str) -> tuple[AcceptEntry, ...]:
    """The entries of an Accept header in the client's order."""
    entries = []
    for entry in header.split(","):
        media_type, *params = (part.strip() for part in entry.split(";"))
        if media_type:
            pairs = (param.partition("=") for param in params)
            entries.append(AcceptEntry(media_type.lower(), {key.lower(): value for key, _, value in pairs}))
    return tuple(entries)


@lru_cache(maxsize=256)
def negotiate(header: str, *, shapes: bool = True) -> Form | None:
    """The first form of the header that is served; None means 406. `shapes` False: only plain objects."""
    if not header:
        return PLAIN_JSON
    for media_type, params in parse_accept(header):
        if media_type in (JSON, "*/*", "application/*"):
            served = JSON
        elif media_type == YAML:
            served = YAML
        else:
            continue
        shape = params.get("as", PLAIN)
        if shape == PLAIN:
            return Form(served)
        known = shape in (TABLE, METADATA, METADATA_LIST)
        version = params.get("v", "v1")
        if shapes and known and params.get("g", _META_GROUP) == _META_GROUP and version in _META_VERSIONS:
            return Form(served, shape, version)
    return None
