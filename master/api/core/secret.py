"""core.secret types of the Kubernetes API (1.36)."""

import json
from base64 import b64decode, b64encode

from master.api.meta import Object
from master.api.model import Bytes
from master.api.resource import AGE, NAME, Cell, Column, ResourceInfo, Tree
from master.api.status import FieldError
from master.api.timestamps import age
from master.api.validation.metadata import immutable, validate_metadata, validate_metadata_update
from master.api.validation.names import config_key_faults


class Secret(Object):
    data: dict[str, Bytes] = {}
    type: str = ""
    string_data: dict[str, str] = {}
    immutable: bool | None = None


DATA_MAX_BYTES = 1024 * 1024
IMMUTABLE = "field is immutable when `immutable` is set"
OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
REDACTED = "<secret contents redacted>"

_REQUIRED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}


def default(secret: Secret) -> Secret:
    """`stringData` is a convenience of writers: it goes into `data` and is never shown again."""
    secret.type = secret.type or OPAQUE
    if secret.string_data:
        encoded = {key: b64encode(text.encode()).decode() for key, text in secret.string_data.items()}
        secret.data = {**secret.data, **encoded}
        secret.string_data = {}
    return secret


def validate(secret: Secret) -> list[FieldError]:
    errors = validate_metadata(secret.metadata)
    for key in secret.data:
        errors += FieldError.invalid_each(f"data[{key}]", key, config_key_faults(key))
    if sum(len(value) for value in secret.data.values()) * 3 // 4 > DATA_MAX_BYTES:
        errors.append(FieldError.too_long("data", "", DATA_MAX_BYTES))
    for key in _REQUIRED_KEYS.get(secret.type, ()):
        if key not in secret.data:
            errors.append(FieldError.required(f"data[{key}]"))
        elif key.startswith(".docker") and not _is_json(secret.data[key]):
            errors.append(
                FieldError.invalid(f"data[{key}]", REDACTED, "invalid character looking for beginning of value")
            )
    if secret.type == "kubernetes.io/basic-auth" and not {"username", "password"} & secret.data.keys():
        errors += [FieldError.required("data[username]"), FieldError.required("data[password]")]
    if secret.type == SERVICE_ACCOUNT_TOKEN and not secret.metadata.annotations.get(SERVICE_ACCOUNT_NAME):
        errors.append(FieldError.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]"))
    return errors


def _is_json(value: str) -> bool:
    try:
        json.loads(b64decode(value))
    except (ValueError, RecursionError):
        return False
    return True


def validate_update(new: Secret, old: Secret) -> list[FieldError]:
    errors = validate_metadata_update(new.metadata, old.metadata)
    errors += immutable("type", new.type, old.type)
    if old.immutable:
        if not new.immutable:
            errors.append(FieldError.forbidden("immutable", IMMUTABLE))
        if new.data != old.data:
            errors.append(FieldError.forbidden("data", IMMUTABLE))
    return errors + validate(new)


def cells(secret: Secret, now_s: float) -> list[Cell]:
    return [secret.metadata.name, secret.type, str(len(secret.data)), age(secret.metadata.creation_timestamp, now_s)]


def own_fields(tree: Tree) -> dict[str, str]:
    return {"type": tree.get("type", "")}


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Secret",
        plural="secrets",
        singular="secret",
        struct=Secret,
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=(NAME, Column("Type"), Column("Data"), AGE),
        cells=cells,
        own_fields=own_fields,
    ),
)
