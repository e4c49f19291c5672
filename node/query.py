"""Flags in the query of a request to the kubelet, read as Kubernetes' own servers read them."""

from collections.abc import Mapping

NO = ("false", "0")


def flag(query: Mapping[str, str], name: str) -> bool:
    """Absent is no, and so are "false" and "0" in any case; everything else, even nothing at all, is yes.

    Clients write `True`, `true`, `1` and `t`, each by the habits of its language."""
    text = query.get(name)
    return text is not None and text.lower() not in NO
