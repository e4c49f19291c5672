"""A pod without a service account gets the namespace's `default`. Tokens are not mounted yet: only the name is set."""

from master.api.core.pod import Pod
from master.apiserver.admission.attributes import Attributes

DEFAULT_ACCOUNT = "default"


class ServiceAccount:
    async def admit(self, attributes: Attributes) -> None:
        if attributes.operation != "CREATE" or attributes.subresource or not isinstance(attributes.new, Pod):
            return
        spec = attributes.new.spec
        name = spec.service_account_name or spec.service_account or DEFAULT_ACCOUNT
        spec.service_account_name = spec.service_account = name
