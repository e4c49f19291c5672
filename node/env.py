"""A container's environment: services, envFrom, env with references, and `$(NAME)` expansion. Pure.

What a container refers to is listed by `references` and fetched by the caller; here it is only looked up.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence

from master.api.core.configmap import ConfigMap
from master.api.core.container import Container
from master.api.core.env import EnvFromSource, EnvVar
from master.api.core.pod import Pod
from master.api.core.secret import Secret
from master.api.core.service import Service
from node.fields import PodFacts, field_value, resource_value
from node.objects import CONFIG_MAP, SECRET, ConfigError, Objects, Reference

MASTER_SERVICES = ("kubernetes",)
"""Services of namespace `default` that every pod gets variables for."""


def references(container: Container) -> list[Reference]:
    """The ConfigMaps and Secrets that must be at hand before the environment can be made."""
    found: list[Reference] = []
    for source in container.env_from:
        if source.config_map_ref is not None:
            found.append(Reference(CONFIG_MAP, source.config_map_ref.name))
        if source.secret_ref is not None:
            found.append(Reference(SECRET, source.secret_ref.name))
    for variable in container.env:
        source_of = variable.value_from
        if source_of is not None and source_of.config_map_key_ref is not None:
            found.append(Reference(CONFIG_MAP, source_of.config_map_key_ref.name))
        if source_of is not None and source_of.secret_key_ref is not None:
            found.append(Reference(SECRET, source_of.secret_key_ref.name))
    return found


def resolve_env(container: Container, facts: PodFacts, objects: Objects, services: Mapping[str, str]) -> dict[str, str]:
    """Name → value in order of definition; raises `ConfigError` for a required reference that leads nowhere."""
    result = dict(services)
    for source in container.env_from:
        result.update(_env_from(source, facts.pod, objects))
    for variable in container.env:
        value = _value(variable, container, facts, objects, result)
        if value is not None:
            result[variable.name] = value
    return result


def _env_from(source: EnvFromSource, pod: Pod, objects: Objects) -> dict[str, str]:
    if source.config_map_ref is not None:
        ref = source.config_map_ref
        config_map = objects.config_map(ref.name, optional=bool(ref.optional))
        pairs = config_map.data if config_map is not None else {}
    elif source.secret_ref is not None:
        secret = objects.secret(source.secret_ref.name, optional=bool(source.secret_ref.optional))
        pairs = secret_texts(secret) if secret is not None else {}
    else:
        pairs = {}
    return {source.prefix + key: pairs[key] for key in sorted(pairs) if "=" not in key}


def _value(
    variable: EnvVar, container: Container, facts: PodFacts, objects: Objects, so_far: Mapping[str, str]
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value, so_far)
    if source.field_ref is not None:
        return field_value(source.field_ref.field_path, facts)
    if source.resource_field_ref is not None:
        return resource_value(source.resource_field_ref, container.name, facts)
    if source.config_map_key_ref is not None:
        ref = source.config_map_key_ref
        config_map = objects.config_map(ref.name, optional=bool(ref.optional))
        return _key("ConfigMap", facts.pod, ref.name, ref.key, bool(ref.optional), _data(config_map))
    if source.secret_key_ref is not None:
        secret_ref = source.secret_key_ref
        secret = objects.secret(secret_ref.name, optional=bool(secret_ref.optional))
        texts = secret_texts(secret) if secret is not None else None
        return _key("Secret", facts.pod, secret_ref.name, secret_ref.key, bool(secret_ref.optional), texts)
    raise ConfigError(f"environment variable {variable.name} has a source that this node does not know")


def _data(config_map: ConfigMap | None) -> Mapping[str, str] | None:
    return None if config_map is None else config_map.data


def _key(kind: str, pod: Pod, name: str, key: str, optional: bool, pairs: Mapping[str, str] | None) -> str | None:
    if pairs is not None and key in pairs:
        return pairs[key]
    if optional:
        return None
    raise ConfigError(f"couldn't find key {key} in {kind} {pod.metadata.namespace}/{name}")


def secret_texts(secret: Secret) -> dict[str, str]:
    """A secret's values as text; bytes that are no UTF-8 survive the way to the container's environment."""
    return {key: base64.b64decode(value).decode("utf-8", "surrogateescape") for key, value in secret.data.items()}


# Expansion.


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` → its value, an unknown name stays as written, `$$` → `$`."""
    return _TOKEN.sub(lambda match: _replacement(match, values), text)


_TOKEN = re.compile(r"\$\$|\$\(([^)]*)\)", re.DOTALL)


def _replacement(match: re.Match[str], values: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    return values.get(match[1], match[0])


def expand_all(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    return [expand(word, values) for word in words]


# Services.


def service_variables(services: Iterable[Service], namespace: str, *, links: bool) -> dict[str, str]:
    """Docker-link style variables: all services of the pod's namespace, and the API's own service in any case."""
    chosen: dict[str, Service] = {}
    for service in services:
        meta = service.metadata
        is_master = meta.namespace == "default" and meta.name in MASTER_SERVICES
        if service.spec.cluster_ip in ("", "None"):
            continue
        if (links and meta.namespace == namespace) or (is_master and meta.name not in chosen):
            chosen[meta.name] = service
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result.update(_variables_of(chosen[name]))
    return result


def _variables_of(service: Service) -> dict[str, str]:
    name = service.metadata.name.upper().replace("-", "_")
    address, ports = service.spec.cluster_ip, service.spec.ports
    result = {f"{name}_SERVICE_HOST": address}
    if not ports:
        return result
    result[f"{name}_SERVICE_PORT"] = str(ports[0].port)
    for port in ports:
        if port.name:
            result[f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    first = (ports[0].protocol or "TCP").lower()
    result[f"{name}_PORT"] = f"{first}://{_bracketed(address)}:{ports[0].port}"
    for port in ports:
        protocol = port.protocol or "TCP"
        prefix = f"{name}_PORT_{port.port}_{protocol.upper()}"
        result[prefix] = f"{protocol.lower()}://{_bracketed(address)}:{port.port}"
        result[f"{prefix}_PROTO"] = protocol.lower()
        result[f"{prefix}_PORT"] = str(port.port)
        result[f"{prefix}_ADDR"] = address
    return result


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
