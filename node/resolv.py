"""What a pod's /etc/resolv.conf and /etc/hosts say. Pure."""

from collections.abc import Sequence

import msgspec

from master.api.core.pod import HostAlias, Pod, PodDNSConfig

MAX_SERVERS = 3
MAX_SEARCHES = 32
"""Kubernetes' own bounds; a C library ignores what goes beyond."""
CLUSTER_OPTIONS = ("ndots:5",)


class Resolver(msgspec.Struct, frozen=True):
    """The three lines of a resolv.conf."""

    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []


def parse_resolv_conf(text: str) -> Resolver:
    """The node's own file; the last search line counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        match words:
            case ["nameserver", address, *_]:
                servers.append(address)
            case ["search", *domains]:
                searches = domains
            case ["options", *given]:
                options += given
    return Resolver(servers, searches, options)


def pod_resolver(pod: Pod, cluster_dns: Sequence[str], cluster_domain: str, host: Resolver) -> Resolver:
    """By the pod's dnsPolicy, then its dnsConfig on top."""
    policy = pod.spec.dns_policy or "ClusterFirst"
    on_host = pod.spec.host_network and policy == "ClusterFirst"
    if policy == "None":
        base = Resolver()
    elif policy == "Default" or on_host or not cluster_dns:
        base = host
    else:
        namespace = pod.metadata.namespace
        searches = [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain]
        base = Resolver(list(cluster_dns), [*searches, *host.searches], list(CLUSTER_OPTIONS))
    return _bounded(_merge(base, pod.spec.dns_config))


def _merge(base: Resolver, config: PodDNSConfig | None) -> Resolver:
    if config is None:
        return base
    options = dict(option.partition(":")[::2] for option in base.options)
    for option in config.options:
        options[option.name] = option.value or ""
    return Resolver(
        _distinct([*base.servers, *config.nameservers]),
        _distinct([*base.searches, *config.searches]),
        [f"{name}:{value}" if value else name for name, value in options.items()],
    )


def _bounded(resolver: Resolver) -> Resolver:
    return Resolver(resolver.servers[:MAX_SERVERS], resolver.searches[:MAX_SEARCHES], resolver.options)


def _distinct(words: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(words))


# Hosts.

HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
HOSTS_HOST_HEADER = "# Kubernetes-managed hosts file (host network).\n"
HOSTS_BASE = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def pod_hostname(pod: Pod, node_name: str) -> str:
    """The last label of what `hostname` prints: at most 63 characters, no trailing dash or dot."""
    if pod.spec.host_network:
        return node_name
    return (pod.spec.hostname or pod.metadata.name)[:63].rstrip("-.")


def hosts_file(pod: Pod, pod_ip: str, cluster_domain: str, host_text: str) -> str:
    """A pod on the node's network sees the node's file; both get the aliases."""
    aliases = _aliases(pod.spec.host_aliases)
    if pod.spec.host_network:
        return HOSTS_HOST_HEADER + host_text + aliases
    text = HOSTS_HEADER + HOSTS_BASE
    if pod_ip:
        name = pod_hostname(pod, "")
        full = (
            f"{name}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}\t" if pod.spec.subdomain else ""
        )
        text += f"{pod_ip}\t{full}{name}\n"
    return text + aliases


def _aliases(aliases: Sequence[HostAlias]) -> str:
    if not aliases:
        return ""
    lines = "".join(f"{alias.ip}\t" + "\t".join(alias.hostnames) + "\n" for alias in aliases)
    return f"\n# Entries added by HostAliases.\n{lines}"
