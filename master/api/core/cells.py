"""Cells that several kinds share: containers, images, selectors, shortened lists."""

from collections.abc import Mapping, Sequence

from master.api.core.podspec import PodSpec
from master.api.meta import LabelSelector
from master.api.selectors import selector_from

SHOWN_MAX = 3  # list cells show so many entries and count the rest, as upstream


def names_and_images(spec: PodSpec) -> tuple[str, str]:
    containers = spec.containers
    return ",".join(container.name for container in containers), ",".join(container.image for container in containers)


def selector_cell(selector: LabelSelector | None) -> str:
    try:
        return str(selector_from(selector)) or "<none>"
    except ValueError:
        return "<error>"


def labels_cell(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"


def shortened(entries: Sequence[str], empty: str) -> str:
    if not entries:
        return empty
    shown = ",".join(entries[:SHOWN_MAX])
    return f"{shown} + {len(entries) - SHOWN_MAX} more..." if len(entries) > SHOWN_MAX else shown
