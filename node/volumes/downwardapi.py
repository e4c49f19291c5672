"""`downwardAPI`: the pod's own labels, annotations, name and resources as files. Pure."""

from collections.abc import Sequence

from master.api.core.volumes import DownwardAPIVolumeFile
from node.fields import PodFacts, field_value, resource_value
from node.volumes.payload import FileEntry, Payload, checked_path


def payload_of(items: Sequence[DownwardAPIVolumeFile], facts: PodFacts, mode: int) -> Payload:
    return {
        checked_path(item.path): FileEntry(_text(item, facts).encode(), mode if item.mode is None else item.mode)
        for item in items
    }


def _text(item: DownwardAPIVolumeFile, facts: PodFacts) -> str:
    if item.field_ref is not None:
        return field_value(item.field_ref.field_path, facts)
    if item.resource_field_ref is not None:
        return resource_value(item.resource_field_ref, "", facts)
    return ""
