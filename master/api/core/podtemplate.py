"""PodTemplate: a stored template, without behaviour."""

import msgspec

from master.api.core.cells import labels_cell, names_and_images
from master.api.core.podspec import PodTemplateSpec
from master.api.core.podspec_defaults import default_pod_spec
from master.api.meta import Object
from master.api.resource import NAME, Cell, Column, ResourceInfo
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.validation.metadata import validate_metadata, validate_metadata_update
from master.api.validation.podspec import validate_template


class PodTemplate(Object):
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)


def default(stored: PodTemplate) -> PodTemplate:
    default_pod_spec(stored.template.spec)
    return stored


def validate(stored: PodTemplate) -> list[FieldError]:
    return validate_metadata(stored.metadata) + validate_template(stored.template, "template")


def validate_update(new: PodTemplate, old: PodTemplate) -> list[FieldError]:
    return validate_metadata_update(new.metadata, old.metadata) + validate(new)


def cells(stored: PodTemplate, _now_s: float) -> list[Cell]:
    containers, images = names_and_images(stored.template.spec)
    return [stored.metadata.name, containers, images, labels_cell(stored.template.metadata.labels)]


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="PodTemplate",
        plural="podtemplates",
        singular="podtemplate",
        struct=PodTemplate,
        strategy=Strategy(has_generation=True, delete_returns_object=True),
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=(NAME, Column("Containers"), Column("Images"), Column("Pod Labels")),
        cells=cells,
    ),
)
