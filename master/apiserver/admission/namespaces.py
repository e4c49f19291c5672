"""What every namespace carries: its name as a label, the finalizer that its content hangs on, and its phase."""

from master.api.core.namespace import Namespace
from master.apiserver.admission.attributes import Attributes

NAME_LABEL = "kubernetes.io/metadata.name"
CONTENT_FINALIZER = "kubernetes"
"""In `spec.finalizers`: the namespace controller takes it away when the content is gone."""
ACTIVE = "Active"


class NamespaceDefaults:
    async def admit(self, attributes: Attributes) -> None:
        new = attributes.new
        if not isinstance(new, Namespace) or attributes.subresource:
            return
        new.metadata.labels = {**new.metadata.labels, NAME_LABEL: new.metadata.name}
        if attributes.operation == "CREATE":
            if CONTENT_FINALIZER not in new.spec.finalizers:
                new.spec.finalizers = [*new.spec.finalizers, CONTENT_FINALIZER]
            new.status.phase = ACTIVE
        else:
            new.spec.finalizers = attributes.old.spec.finalizers
