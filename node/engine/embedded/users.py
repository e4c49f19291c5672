"""Who a container runs as: names and numbers of its order, by the image's own /etc/passwd and /etc/group. Pure."""

from collections.abc import Iterator

import msgspec

MAX_ID = 2**31 - 1


class UnknownUser(ValueError):
    """A name the image does not know."""


class Identity(msgspec.Struct, frozen=True):
    uid: int
    gid: int
    groups: list[int]
    home: str


def resolve(user: str, group: str, extra_groups: list[int], image_user: str, passwd: str, groups: str) -> Identity:
    """`user` and `group` of the order, else those of the image ("name", "1000", "name:group"), else root."""
    name, _, group_of_user = (user or image_user or "0").partition(":")
    entry = _find_user(name, passwd)
    if entry is None and not name.isdigit():
        raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
    uid = int(entry[2]) if entry else _checked(name)
    gid = int(entry[3]) if entry else 0
    wanted_group = group or group_of_user
    if wanted_group:
        gid = _group_id(wanted_group, groups)
    members = [] if wanted_group or entry is None else _memberships(entry[0], groups)
    return Identity(uid, gid, sorted({*members, *extra_groups}), entry[5] if entry else "/")


def _find_user(name: str, passwd: str) -> list[str] | None:
    return next((entry for entry in _entries(passwd, 7) if name in (entry[0], entry[2])), None)


def _group_id(name: str, groups: str) -> int:
    entry = next((entry for entry in _entries(groups, 4) if name in (entry[0], entry[2])), None)
    if entry is None and not name.isdigit():
        raise UnknownUser(f"unable to find group {name}: no matching entries in group file")
    return int(entry[2]) if entry else _checked(name)


def _memberships(user: str, groups: str) -> list[int]:
    return [int(entry[2]) for entry in _entries(groups, 4) if user in entry[3].split(",")]


def _entries(text: str, fields: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        entry = line.split(":")
        if len(entry) == fields and entry[2].isdigit():
            yield entry


def _checked(number: str) -> int:
    if int(number) > MAX_ID:
        raise UnknownUser(f"uid or gid {number} is out of range")
    return int(number)
