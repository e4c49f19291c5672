"""`secret`: one file a key, decoded. Pure; the folder lies in memory (see `setup`)."""

import base64

from master.api.core.volumes import SecretProjection, SecretVolumeSource
from node.objects import Objects
from node.volumes.payload import Payload, select_keys


def payload_of(source: SecretVolumeSource | SecretProjection, objects: Objects, mode: int) -> Payload:
    optional = bool(source.optional)
    secret = objects.secret(secret_name(source), optional=optional)
    if secret is None:
        return {}
    data = {key: base64.b64decode(value) for key, value in secret.data.items()}
    return select_keys(data, source.items, mode, what="secret", optional=optional)


def secret_name(source: SecretVolumeSource | SecretProjection) -> str:
    return source.secret_name if isinstance(source, SecretVolumeSource) else source.name
