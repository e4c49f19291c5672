"""`configMap`: one file a key, text and binary. Pure."""

import base64

from master.api.core.configmap import ConfigMap
from master.api.core.volumes import ConfigMapProjection, ConfigMapVolumeSource
from node.objects import Objects
from node.volumes.payload import Payload, select_keys


def payload_of(source: ConfigMapVolumeSource | ConfigMapProjection, objects: Objects, mode: int) -> Payload:
    optional = bool(source.optional)
    config_map = objects.config_map(source.name, optional=optional)
    if config_map is None:
        return {}
    return select_keys(data_of(config_map), source.items, mode, what="configmap", optional=optional)


def data_of(config_map: ConfigMap) -> dict[str, bytes]:
    texts = {key: value.encode() for key, value in config_map.data.items()}
    return texts | {key: base64.b64decode(value) for key, value in config_map.binary_data.items()}
