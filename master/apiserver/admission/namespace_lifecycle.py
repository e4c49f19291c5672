"""Nothing is created in a namespace that is missing or on its way out, and the system's namespaces are not deleted.

The transaction of every creation demands that the namespace is still at the revision on which the decision rested:
another API server may delete it at the same moment.
"""

from master.api.core.namespace import Namespace
from master.api.meta import StatusCause, StatusDetails
from master.api.scheme import SCHEME
from master.api.status import Forbidden, NotFound
from master.apiserver.admission.attributes import Attributes
from master.apiserver.entry import Entry
from master.apiserver.keys import object_key

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
TERMINATING = "Terminating"


class NamespaceLifecycle:
    async def admit(self, attributes: Attributes) -> None:
        if attributes.operation == "DELETE":
            if attributes.is_about("Namespace") and attributes.name in IMMORTAL:
                raise Forbidden.of(attributes.info, attributes.name, "this namespace may not be deleted")
            return
        if attributes.operation != "CREATE" or not attributes.info.namespaced:
            return
        entry = await self._namespace(attributes)
        namespaces = SCHEME.by_struct(Namespace)
        if namespaces.decode(entry.data).status.phase == TERMINATING:
            raise _terminating(attributes)
        attributes.transaction.require_revision(object_key(namespaces, "", entry.name), entry.revision)

    async def _namespace(self, attributes: Attributes) -> Entry:
        """The namespace from the cache; when it seems to be missing, or turned out stale, from an up-to-date cache."""
        namespaces = SCHEME.by_struct(Namespace)
        cache = attributes.context.feed.of(namespaces)
        entry = cache.get(attributes.namespace) if not attributes.attempt else None
        if entry is None:
            await attributes.context.catch_up()
            entry = cache.get(attributes.namespace)
        if entry is None:
            raise NotFound.of(namespaces, attributes.namespace)
        return entry


def _terminating(attributes: Attributes) -> Forbidden:
    namespace = attributes.namespace
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    error = Forbidden.of(attributes.info, attributes.name, why)
    cause = StatusCause(
        reason="NamespaceTerminating",
        message=f"namespace {namespace} is being terminated",
        field="metadata.namespace",
    )
    assert isinstance(error.details, StatusDetails)
    error.details.causes = [cause]
    return error
