"""Service account tokens of pods: asked of the API, kept in memory, renewed well before they end."""

from collections.abc import Callable

import msgspec

from master.api.core.pod import Pod
from master.api.core.serviceaccount import ServiceAccount
from master.api.scheme import SCHEME
from master.client.rest import RestClient
from node.volumes.projected import TokenKey

RENEW_AT = 0.8
"""Of its lifetime (the kubelet's figure)."""
DEFAULT_ACCOUNT = "default"


class _Token(msgspec.Struct):
    text: str
    renew_s: float


class _Status(msgspec.Struct, frozen=True):
    token: str = ""


class _Answer(msgspec.Struct):
    status: _Status = _Status()


class TokenCache:
    def __init__(self, client: RestClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[tuple[str, TokenKey], _Token] = {}

    async def get(self, pod: Pod, key: TokenKey) -> str:
        """Raises `ApiError` when the API gives none."""
        known = self._tokens.get((pod.metadata.uid, key))
        if known is not None and self._clock() < known.renew_s:
            return known.text
        audience, lifetime_s = key
        account = pod.spec.service_account_name or DEFAULT_ACCOUNT
        path = SCHEME.by_struct(ServiceAccount).path(pod.metadata.namespace, account, "token")
        bound = {"kind": "Pod", "apiVersion": "v1", "name": pod.metadata.name, "uid": pod.metadata.uid}
        spec = {"audiences": [audience] if audience else [], "expirationSeconds": lifetime_s, "boundObjectRef": bound}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        _, answer = await self._client.request("POST", path, json_body=body)
        text = msgspec.json.decode(answer, type=_Answer).status.token
        self._tokens[pod.metadata.uid, key] = _Token(text, self._clock() + lifetime_s * RENEW_AT)
        return text

    def forget(self, pod_uid: str) -> None:
        for known in [known for known in self._tokens if known[0] == pod_uid]:
            del self._tokens[known]
