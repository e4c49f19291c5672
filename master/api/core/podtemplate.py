"""PodTemplate: a stored template, without behaviour."""

import msgspec

from master.api.core.podspec import PodTemplateSpec
from master.api.meta import Object
from master.api.resource import ResourceInfo
from master.api.strategy import Strategy


class PodTemplate(Object):
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="PodTemplate",
        plural="podtemplates",
        singular="podtemplate",
        struct=PodTemplate,
        strategy=Strategy(has_generation=True, delete_returns_object=True),
    ),
)
