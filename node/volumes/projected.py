"""`projected`: several sources in one folder; a later source wins where paths meet. Pure."""

from collections.abc import Mapping

from master.api.core.volumes import ProjectedVolumeSource, ServiceAccountTokenProjection
from node.fields import PodFacts
from node.objects import ConfigError, Objects
from node.volumes import configmap, downwardapi, secret
from node.volumes.payload import DEFAULT_MODE, FileEntry, Payload, checked_path

TokenKey = tuple[str, int]
"""Audience and lifetime: what tells one token of a pod from another."""
TOKEN_LIFETIME_S = 3600


def payload_of(
    source: ProjectedVolumeSource, facts: PodFacts, objects: Objects, tokens: Mapping[TokenKey, str]
) -> Payload:
    mode = DEFAULT_MODE if source.default_mode is None else source.default_mode
    payload: Payload = {}
    for part in source.sources:
        if part.config_map is not None:
            payload |= configmap.payload_of(part.config_map, objects, mode)
        elif part.secret is not None:
            payload |= secret.payload_of(part.secret, objects, mode)
        elif part.downward_api is not None:
            payload |= downwardapi.payload_of(part.downward_api.items, facts, mode)
        elif part.service_account_token is not None:
            token = part.service_account_token
            payload[checked_path(token.path)] = FileEntry(tokens[token_key(token)].encode(), mode)
        else:
            raise ConfigError("a projected volume has a source that this node does not know")
    return payload


def token_key(token: ServiceAccountTokenProjection) -> TokenKey:
    return token.audience, token.expiration_seconds or TOKEN_LIFETIME_S
