"""core.volumes types of the Kubernetes API (1.36)."""

import msgspec

from master.api.core.env import ObjectFieldSelector, ResourceFieldSelector
from master.api.core.references import LocalObjectReference, TypedLocalObjectReference, TypedObjectReference
from master.api.meta import LabelSelector, ObjectMeta
from master.api.model import Int32, Model, Quantity, required, required_list


class AWSElasticBlockStoreVolumeSource(Model):
    volume_id: str = required("", name="volumeID")
    fs_type: str = ""
    partition: Int32 = 0
    read_only: bool = False


class AzureDiskVolumeSource(Model):
    disk_name: str = required("")
    disk_uri: str = required("", name="diskURI")
    caching_mode: str | None = None
    fs_type: str | None = None
    read_only: bool | None = None
    kind: str | None = None


class AzureFileVolumeSource(Model):
    secret_name: str = required("")
    share_name: str = required("")
    read_only: bool = False


class CSIVolumeSource(Model):
    driver: str = required("")
    read_only: bool | None = None
    fs_type: str | None = None
    volume_attributes: dict[str, str] = {}
    node_publish_secret_ref: LocalObjectReference | None = None


class CephFSVolumeSource(Model):
    monitors: list[str] = required_list()
    path: str = ""
    user: str = ""
    secret_file: str = ""
    secret_ref: LocalObjectReference | None = None
    read_only: bool = False


class CinderVolumeSource(Model):
    volume_id: str = required("", name="volumeID")
    fs_type: str = ""
    read_only: bool = False
    secret_ref: LocalObjectReference | None = None


class KeyToPath(Model):
    key: str = required("")
    path: str = required("")
    mode: Int32 | None = None


class ConfigMapVolumeSource(Model):
    name: str = ""
    items: list[KeyToPath] = []
    default_mode: Int32 | None = None
    optional: bool | None = None


class DownwardAPIVolumeFile(Model):
    path: str = required("")
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: Int32 | None = None


class DownwardAPIVolumeSource(Model):
    items: list[DownwardAPIVolumeFile] = []
    default_mode: Int32 | None = None


class EmptyDirVolumeSource(Model):
    medium: str = ""
    size_limit: Quantity | None = None


class VolumeResourceRequirements(Model):
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class PersistentVolumeClaimSpec(Model):
    access_modes: list[str] = []
    resources: VolumeResourceRequirements = msgspec.field(default_factory=VolumeResourceRequirements)
    volume_name: str = ""
    selector: LabelSelector | None = None
    storage_class_name: str | None = None
    volume_mode: str | None = None
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    volume_attributes_class_name: str | None = None


class PersistentVolumeClaimTemplate(Model):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PersistentVolumeClaimSpec = msgspec.field(default_factory=PersistentVolumeClaimSpec)


class EphemeralVolumeSource(Model):
    volume_claim_template: PersistentVolumeClaimTemplate | None = None


class FCVolumeSource(Model):
    target_wwns: list[str] = msgspec.field(default_factory=list, name="targetWWNs")
    lun: Int32 | None = None
    fs_type: str = ""
    read_only: bool = False
    wwids: list[str] = []


class FlexVolumeSource(Model):
    driver: str = required("")
    fs_type: str = ""
    secret_ref: LocalObjectReference | None = None
    read_only: bool = False
    options: dict[str, str] = {}


class FlockerVolumeSource(Model):
    dataset_name: str = ""
    dataset_uuid: str = msgspec.field(default="", name="datasetUUID")


class GCEPersistentDiskVolumeSource(Model):
    pd_name: str = required("")
    fs_type: str = ""
    partition: Int32 = 0
    read_only: bool = False


class GitRepoVolumeSource(Model):
    repository: str = required("")
    revision: str = ""
    directory: str = ""


class GlusterfsVolumeSource(Model):
    endpoints: str = required("")
    path: str = required("")
    read_only: bool = False


class HostPathVolumeSource(Model):
    path: str = required("")
    type: str | None = None


class ISCSIVolumeSource(Model):
    target_portal: str = required("")
    secret_ref: LocalObjectReference | None = None
    chap_auth_session: bool = False
    initiator_name: str | None = None
    iqn: str = required("")
    lun: Int32 = required(0)
    iscsi_interface: str = ""
    fs_type: str = ""
    read_only: bool = False
    portals: list[str] = []
    chap_auth_discovery: bool = False


class ImageVolumeSource(Model):
    reference: str = ""
    pull_policy: str = ""


class NFSVolumeSource(Model):
    server: str = required("")
    path: str = required("")
    read_only: bool = False


class PersistentVolumeClaimVolumeSource(Model):
    claim_name: str = required("")
    read_only: bool = False


class PhotonPersistentDiskVolumeSource(Model):
    pd_id: str = required("", name="pdID")
    fs_type: str = ""


class PortworxVolumeSource(Model):
    volume_id: str = required("", name="volumeID")
    fs_type: str = ""
    read_only: bool = False


class ClusterTrustBundleProjection(Model):
    name: str | None = None
    signer_name: str | None = None
    label_selector: LabelSelector | None = None
    path: str = required("")
    optional: bool | None = None


class ConfigMapProjection(Model):
    name: str = ""
    items: list[KeyToPath] = []
    optional: bool | None = None


class DownwardAPIProjection(Model):
    items: list[DownwardAPIVolumeFile] = []


class PodCertificateProjection(Model):
    signer_name: str = required("")
    key_type: str = required("")
    max_expiration_seconds: Int32 | None = None
    credential_bundle_path: str = ""
    key_path: str = ""
    certificate_chain_path: str = ""
    user_annotations: dict[str, str] = {}


class SecretProjection(Model):
    name: str = ""
    items: list[KeyToPath] = []
    optional: bool | None = None


class ServiceAccountTokenProjection(Model):
    audience: str = ""
    expiration_seconds: int | None = None
    path: str = required("")


class VolumeProjection(Model):
    secret: SecretProjection | None = None
    downward_api: DownwardAPIProjection | None = msgspec.field(default=None, name="downwardAPI")
    config_map: ConfigMapProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    pod_certificate: PodCertificateProjection | None = None


class ProjectedVolumeSource(Model):
    sources: list[VolumeProjection] = []
    default_mode: Int32 | None = None


class QuobyteVolumeSource(Model):
    registry: str = required("")
    volume: str = required("")
    read_only: bool = False
    user: str = ""
    group: str = ""
    tenant: str = ""


class RBDVolumeSource(Model):
    monitors: list[str] = required_list()
    image: str = required("")
    fs_type: str = ""
    pool: str = ""
    user: str = ""
    keyring: str = ""
    secret_ref: LocalObjectReference | None = None
    read_only: bool = False


class ScaleIOVolumeSource(Model):
    gateway: str = required("")
    read_only: bool = False
    system: str = required("")
    secret_ref: LocalObjectReference | None = None
    ssl_enabled: bool = False
    protection_domain: str = ""
    storage_pool: str = ""
    storage_mode: str = ""
    volume_name: str = ""
    fs_type: str = ""


class SecretVolumeSource(Model):
    secret_name: str = ""
    items: list[KeyToPath] = []
    default_mode: Int32 | None = None
    optional: bool | None = None


class StorageOSVolumeSource(Model):
    volume_name: str = ""
    volume_namespace: str = ""
    fs_type: str = ""
    read_only: bool = False
    secret_ref: LocalObjectReference | None = None


class VsphereVirtualDiskVolumeSource(Model):
    volume_path: str = required("")
    fs_type: str = ""
    storage_policy_name: str = ""
    storage_policy_id: str = msgspec.field(default="", name="storagePolicyID")


class Volume(Model):
    name: str = required("")
    host_path: HostPathVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    flex_volume: FlexVolumeSource | None = None
    cinder: CinderVolumeSource | None = None
    cephfs: CephFSVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = msgspec.field(default=None, name="downwardAPI")
    fc: FCVolumeSource | None = None
    azure_file: AzureFileVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    empty_dir: EmptyDirVolumeSource | None = None
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    scale_io: ScaleIOVolumeSource | None = msgspec.field(default=None, name="scaleIO")
    projected: ProjectedVolumeSource | None = None
    storageos: StorageOSVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    image: ImageVolumeSource | None = None
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    git_repo: GitRepoVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    glusterfs: GlusterfsVolumeSource | None = None
