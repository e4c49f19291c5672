"""core.env types of the Kubernetes API (1.36)."""

from master.api.model import Model, Quantity, required


class ConfigMapKeySelector(Model):
    name: str = ""
    key: str = required("")
    optional: bool | None = None


class FileKeySelector(Model):
    volume_name: str = required("")
    path: str = required("")
    key: str = required("")
    optional: bool | None = None


class ObjectFieldSelector(Model):
    api_version: str = ""
    field_path: str = required("")


class ResourceFieldSelector(Model):
    container_name: str = ""
    resource: str = required("")
    divisor: Quantity | None = None


class SecretKeySelector(Model):
    name: str = ""
    key: str = required("")
    optional: bool | None = None


class EnvVarSource(Model):
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: ConfigMapKeySelector | None = None
    secret_key_ref: SecretKeySelector | None = None
    file_key_ref: FileKeySelector | None = None


class EnvVar(Model):
    name: str = required("")
    value: str = ""
    value_from: EnvVarSource | None = None


class ConfigMapEnvSource(Model):
    name: str = ""
    optional: bool | None = None


class SecretEnvSource(Model):
    name: str = ""
    optional: bool | None = None


class EnvFromSource(Model):
    prefix: str = ""
    config_map_ref: ConfigMapEnvSource | None = None
    secret_ref: SecretEnvSource | None = None
