"""Pod network by CNI plugins: the alternative to the built-in bridge, for whoever brings a network of their own.

The first `*.conflist` or `*.conf` of the configuration folder counts, as with every CNI runtime; without one, the
reference plugins `bridge` and `host-local` are used. A subnet "usePodCidr" means this node's pod CIDR (the convention
of several plugins). Each ADD's result is kept, because DEL must get it back and a repeated attach must not ADD twice.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from node.engine.base import SandboxState
from node.network import hostsetup, ip, routes
from node.network.base import NetworkError, NetworkNotReady, PodNetwork

INTERFACE = "eth0"
CNI_VERSION = "0.4.0"
USE_POD_CIDR = "usePodCidr"
DEFAULT_NAME = "timonier"

Json = dict[str, Any]


class Attached(msgspec.Struct, frozen=True):
    """What DEL and a repeated attach need: the configuration used then, the last plugin's result, and the namespace
    by path and inode, because the process id in the path may be somebody else's by then."""

    sandbox_id: str
    netns: str
    netns_inode: int
    network: Json
    result: Json


def default_conflist(state_dir: Path) -> Json:
    """The reference bridge with addresses out of the pod CIDR; reservations below our own folder, per node."""
    addresses = {
        "type": "host-local",
        "dataDir": str(state_dir / "host-local"),
        "ranges": [[{"subnet": USE_POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True}
    return {"cniVersion": CNI_VERSION, "name": DEFAULT_NAME, "plugins": [{**bridge, "ipam": addresses}]}


def as_list(document: Json) -> Json:
    """A single plugin's `.conf` is a list of one."""
    if "plugins" in document:
        return document
    return {
        "cniVersion": document.get("cniVersion", CNI_VERSION),
        "name": document.get("name", DEFAULT_NAME),
        "plugins": [document],
    }


def with_pod_cidr(value: Any, pod_cidr: str) -> Any:
    """The document with every "usePodCidr" replaced."""
    if isinstance(value, dict):
        return {key: with_pod_cidr(each, pod_cidr) for key, each in value.items()}
    if isinstance(value, list):
        return [with_pod_cidr(each, pod_cidr) for each in value]
    return pod_cidr if value == USE_POD_CIDR else value


def plugin_config(network: Json, plugin: Json, previous: Json | None) -> Json:
    """What one plugin of the chain reads on its standard input."""
    config = {**plugin, "cniVersion": network.get("cniVersion", CNI_VERSION), "name": network["name"]}
    return config if previous is None else {**config, "prevResult": previous}


def pod_network(result: Json) -> PodNetwork:
    """The first IPv4 address of a result."""
    for each in result.get("ips", []):
        address = str(each["address"]).partition("/")[0]
        if ":" not in address:
            return PodNetwork(address, str(each.get("gateway", "")), INTERFACE)
    raise NetworkError("the network plugin gave the pod no IPv4 address")


class CniNetwork:
    """`Network` by plugins."""

    kind = "cni"

    def __init__(self, state_dir: Path, cluster_cidr: str, *, plugin_dir: str, conf_dir: str = "") -> None:
        self._state_dir = state_dir / "cni"
        self._cluster_cidr = cluster_cidr
        self._plugin_dir = Path(plugin_dir)
        self._conf_dir = conf_dir
        self._network: Json | None = None
        self._pod_cidr = ""

    async def setup(self, pod_cidr: str) -> None:
        network = with_pod_cidr(self._load_network(), pod_cidr)
        missing = [p["type"] for p in network["plugins"] if not (self._plugin_dir / p["type"]).exists()]
        if missing:
            raise NetworkError(f"CNI plugins {', '.join(missing)} are not in {self._plugin_dir}")
        await hostsetup.set_up_host(pod_cidr, self._cluster_cidr)
        (self._state_dir / "results").mkdir(parents=True, exist_ok=True)
        self._network, self._pod_cidr = network, pod_cidr

    async def attach(self, sandbox: SandboxState) -> PodNetwork:
        if self._network is None:
            raise NetworkNotReady("the node has no pod CIDR yet")
        if not sandbox.netns:
            raise NetworkError(f"sandbox {sandbox.id[:12]} has no network namespace of its own to attach to")
        known = self._recall(sandbox.id)
        if known is not None:
            return pod_network(known.result)
        attached = Attached(sandbox.id, sandbox.netns, _inode(sandbox.netns), self._network, {})
        try:
            result = await self._add(self._network, sandbox)
        except NetworkError:
            # The specification's demand after a failed ADD: a DEL that clears what was half done.
            await self._delete(attached)
            raise
        self._remember(msgspec.structs.replace(attached, result=result))
        return pod_network(result)

    async def detach(self, sandbox_id: str) -> None:
        known = self._recall(sandbox_id)
        if known is not None:
            await self._delete(known)
            self._result_file(sandbox_id).unlink(missing_ok=True)

    async def sync_routes(self, routes_: Mapping[str, str]) -> None:
        await routes.sync_routes({cidr: via for cidr, via in routes_.items() if cidr != self._pod_cidr})

    async def reconcile(self, live_sandbox_ids: Iterable[str]) -> None:
        live = set(live_sandbox_ids)
        for path in sorted((self._state_dir / "results").glob("*.json")):
            if path.stem not in live:
                await self.detach(path.stem)
        # An ADD that was cut short left an address but no result.
        for path in (self._state_dir / "host-local" / DEFAULT_NAME).glob("*.*.*.*"):
            if path.read_text().split("\n")[0].strip() not in live:
                path.unlink(missing_ok=True)

    async def teardown(self) -> None:
        await self.reconcile(())
        await routes.sync_routes({})
        await hostsetup.tear_down_host()
        bridges = [p["bridge"] for p in (self._network or {}).get("plugins", []) if p.get("type") == "bridge"]
        await ip.batch_all([f"link del {bridge}" for bridge in bridges])
        self._network = None

    async def _add(self, network: Json, sandbox: SandboxState) -> Json:
        if (self._plugin_dir / "loopback").exists():
            loopback = {"cniVersion": CNI_VERSION, "name": "lo", "type": "loopback"}
            await self._run("ADD", loopback, sandbox.id, sandbox.netns, interface="lo")
        result: Json | None = None
        for plugin in network["plugins"]:
            config = plugin_config(network, plugin, result)
            result = await self._run("ADD", config, sandbox.id, sandbox.netns) or result
        return result or {}

    async def _delete(self, attached: Attached) -> None:
        """In reverse. A namespace that is gone is not named: its interfaces went with it, the address is left."""
        is_alive = _inode(attached.netns) == attached.netns_inode
        for plugin in reversed(attached.network["plugins"]):
            config = plugin_config(attached.network, plugin, attached.result or None)
            await self._run("DEL", config, attached.sandbox_id, attached.netns if is_alive else "")

    async def _run(self, command: str, config: Json, sandbox_id: str, netns: str, interface: str = INTERFACE) -> Json:
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": sandbox_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": interface,
            "CNI_PATH": str(self._plugin_dir),
        }
        text = msgspec.json.encode(config).decode()
        code, out, err = await ip.run_raw([str(self._plugin_dir / config["type"])], text=text, env=environment)
        if code != 0:
            with contextlib.suppress(msgspec.DecodeError):
                err = msgspec.json.decode(out, type=Json).get("msg", err)
            raise NetworkError(f"CNI plugin {config['type']} {command}: {err.strip() or code}")
        return msgspec.json.decode(out, type=Json) if out.strip() else {}

    def _load_network(self) -> Json:
        folder = Path(self._conf_dir) if self._conf_dir else None
        found = sorted(p for p in folder.iterdir() if p.suffix in (".conflist", ".conf")) if folder else []
        if not found:
            return default_conflist(self._state_dir)
        try:
            return as_list(msgspec.json.decode(found[0].read_bytes(), type=Json))
        except (OSError, msgspec.DecodeError) as error:
            raise NetworkError(f"{found[0]}: {error}") from error

    def _result_file(self, sandbox_id: str) -> Path:
        return self._state_dir / "results" / f"{sandbox_id}.json"

    def _remember(self, attached: Attached) -> None:
        path = self._result_file(attached.sandbox_id)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(attached))
        temporary.rename(path)

    def _recall(self, sandbox_id: str) -> Attached | None:
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(self._result_file(sandbox_id).read_bytes(), type=Attached)
        return None


def _inode(netns: str) -> int:
    """What tells one namespace from another; 0 for one that is gone."""
    try:
        return os.stat(netns).st_ino
    except OSError:
        return 0
