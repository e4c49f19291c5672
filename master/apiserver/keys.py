"""Where an object lives in the store, and how its revision gets into its bytes.

Stored bytes carry no `resourceVersion`: the store's revision is the version, known only after the commit. It is
spliced in behind `"metadata":{` when an object is read; encoders write `apiVersion` and `kind` (plain words) before
`metadata`, so that the first occurrence is always the object's own metadata.
"""

from master.api.scheme import ResourceInfo

REGISTRY = "/registry/"
ALLOCATIONS = "/registry/allocations/"
"""One key per cluster IP and node port in use; the value is the key of the Service that holds it."""
MASTER_LEASES = "/registry/masterleases/"
"""One key per live API server, bound to a store lease."""

_METADATA = b'"metadata":{'
_VERSION = b'"resourceVersion":"'


def resource_prefix(info: ResourceInfo) -> str:
    return f"{REGISTRY}{info.group or 'core'}/{info.plural}/"


def relative_key(info: ResourceInfo, namespace: str, name: str) -> str:
    """The key inside its resource: `namespace/name`, or the name alone."""
    return f"{namespace}/{name}" if info.namespaced else name


def object_key(info: ResourceInfo, namespace: str, name: str) -> str:
    return resource_prefix(info) + relative_key(info, namespace, name)


def split_key(key: str) -> tuple[str, str]:
    """A store key into (resource prefix, relative key); ("", key) when it is no object's key."""
    parts = key.split("/", 4)
    if len(parts) != 5 or parts[0] or parts[1] != "registry":
        return "", key
    return f"{REGISTRY}{parts[2]}/{parts[3]}/", parts[4]


def with_revision(raw: bytes, revision: int) -> bytes:
    """Stored bytes as clients see them."""
    at = raw.index(_METADATA) + len(_METADATA)
    comma = b"" if raw[at : at + 1] == b"}" else b","
    return b'%b"resourceVersion":"%d"%b%b' % (raw[:at], revision, comma, raw[at:])


def at_revision(data: bytes, revision: int) -> bytes:
    """Bytes that carry a revision, with another one (a deletion carries the revision of the deletion)."""
    start = data.index(_METADATA + _VERSION) + len(_METADATA + _VERSION)
    end = data.index(b'"', start)
    return b"%b%d%b" % (data[:start], revision, data[end:])
