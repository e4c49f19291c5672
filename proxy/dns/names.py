"""Domain names in wire form: lower-case bytes with length prefixes. Keys of the zone are compared without decoding."""

import ipaddress

LABEL_MAX = 63
NAME_MAX = 255
ROOT = b"\0"


def encode_name(*parts: str) -> bytes:
    """`encode_name("web", "default.svc.cluster.local")`; raises ValueError for what is no domain name."""
    labels = [label for part in parts for label in part.strip(".").lower().encode().split(b".") if label]
    if any(len(label) > LABEL_MAX for label in labels):
        raise ValueError(f"a label of {parts} is longer than {LABEL_MAX} bytes")
    name = b"".join(bytes([len(label)]) + label for label in labels) + ROOT
    if len(name) > NAME_MAX:
        raise ValueError(f"{parts} is longer than {NAME_MAX} bytes")
    return name


def labels_of(name: bytes) -> list[bytes]:
    labels, at = [], 0
    while at < len(name) and name[at]:
        labels.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return labels


def decode_name(name: bytes) -> str:
    return b".".join(labels_of(name)).decode("ascii", "backslashreplace")


def parent(name: bytes) -> bytes:
    """The name without its first label; the root is its own parent."""
    return name[1 + name[0] :] if name[0] else name


def is_within(name: bytes, origin: bytes) -> bool:
    """Whether a name is the origin or below it, by whole labels."""
    while len(name) > len(origin):
        name = parent(name)
    return name == origin


def reverse_name(ip: str) -> bytes:
    """The PTR owner of an IPv4 address."""
    return encode_name(ipaddress.IPv4Address(ip).reverse_pointer)
