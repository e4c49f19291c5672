"""A laboratory for kubelet tests: one store, one API server and one node in a network namespace of their own.

Every process and container lies in one cgroup, so that `close` ends all of them with one write, whatever has happened.
"""

import asyncio
import ctypes
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from cli.cluster.pki import CertificateAuthority
from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.status import ApiError, NotFound
from master.client.config import ClientConfig
from master.client.rest import RestClient
from node.engine.imagebuild import ImageConfig, busybox_root, write_archive

CGROUPS = Path("/sys/fs/cgroup")
NODE = "node-1"
IMAGE = "lab/busybox:1"
APPLETS = (
    *("sh", "sleep", "cat", "echo", "httpd", "wget", "ls", "id", "hostname", "true", "false", "touch", "rm", "env"),
    *("printf", "stat", "kill", "nc", "mkdir", "test", "stty", "grep", "ip", "tail"),
)
PATIENCE_S = 30.0
POD_CIDR_MASK = 24

T = TypeVar("T")


async def until(what: str, probe: Callable[[], Awaitable[T | None]], patience_s: float = PATIENCE_S) -> T:
    """The probe's first answer that is not None and not False."""
    deadline_s = time.monotonic() + patience_s
    last: object = None
    while time.monotonic() < deadline_s:
        try:
            answer = await probe()
            if answer is not None and answer is not False:
                return answer
        except (ApiError, OSError) as error:
            last = error
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {patience_s:.0f} s: {what} ({last})")


class NodeLab:
    def __init__(self, runtime: str, config: dict[str, Any] | None = None) -> None:
        self.runtime = runtime
        self.folder = Path(tempfile.mkdtemp(prefix="tmr-node-"))
        self.mark = f"tn{os.getpid() % 100000}"
        third = os.getpid() % 250
        self.gateway, self.address = f"10.231.{third}.1", f"10.231.{third}.2"
        self.pod_cidr = f"10.232.{third}.0/{POD_CIDR_MASK}"
        self.cgroup = f"/{self.mark}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.extra = config or {}

    # Setting up.

    def open(self) -> None:
        self._namespace()
        self._certificates()
        self._cgroup_folder().mkdir(exist_ok=True)
        self._start_engine()
        self._load_image()
        self._start_masters()
        self.start_kubelet()

    def _namespace(self) -> None:
        lines = [
            f"netns add {self.mark}",
            f"link add {self.mark} type veth peer name eth0 netns {self.mark}",
            f"addr add {self.gateway}/30 dev {self.mark}",
            f"link set {self.mark} up",
        ]
        inside = [
            "link set lo up",
            f"addr add {self.address}/30 dev eth0",
            "link set eth0 up",
            f"route add default via {self.gateway}",
        ]
        for prefix, batch in ([], lines), (["-n", self.mark], inside):
            subprocess.run(["ip", *prefix, "-batch", "-"], input="\n".join(batch).encode(), check=True, timeout=20)

    def _certificates(self) -> None:
        pki = self.folder / "pki"
        ca = CertificateAuthority(pki, "ca")
        ca.ensure("lab")
        ca.issue(pki / "admin", common_name="kubernetes-admin", organizations=["system:masters"], usage="client")
        ca.issue(pki / "stranger", common_name="somebody", usage="client")
        ca.issue(pki / "apiserver", common_name="kube-apiserver", addresses=[self.address, "127.0.0.1"], usage="server")
        ca.issue(
            pki / "kubelet-client",
            common_name="kube-apiserver-kubelet-client",
            organizations=["system:masters"],
            usage="client",
        )
        name, groups = f"system:node:{NODE}", ["system:nodes"]
        ca.issue(
            pki / "kubelet-server", common_name=name, organizations=groups, addresses=[self.address], usage="server"
        )
        ca.issue(pki / "kubelet", common_name=name, organizations=groups, usage="client")

    def pair(self, name: str) -> dict[str, str]:
        return {"cert_file": str(self.folder / f"pki/{name}.crt"), "key_file": str(self.folder / f"pki/{name}.key")}

    @property
    def ca_file(self) -> str:
        return str(self.folder / "pki/ca.crt")

    def spawn(self, name: str, *command: str) -> None:
        """In the lab's network namespace and cgroup."""
        group = self._cgroup_folder() / name
        group.mkdir(exist_ok=True)

        def join() -> None:
            with open(group / "cgroup.procs", "w") as file:
                file.write("0")

        with open(self.folder / f"{name}.log", "ab") as out:
            self.processes[name] = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.mark}", *command],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                preexec_fn=join,
                cwd=Path(__file__).parents[2],
            )

    def _start_engine(self) -> None:
        folder = self.folder
        if self.runtime == "docker":
            command = [sys.executable, "-m", "cli.cluster.dockerd", "--socket", self.socket]
            roots = ["--data-root", str(folder / "docker"), "--exec-root", str(folder / "exec")]
            self.spawn("engine", *command, *roots, "--cgroup-parent", f"{self.cgroup}/docker")
        else:
            command = [sys.executable, "-m", "node.engine.embedded", "--socket", self.socket]
            options = ["--root", str(folder / "embedded"), "--cgroup-parent", f"{self.cgroup}/pods"]
            self.spawn("engine", *command, *options)
        self.wait_for(Path(self.socket).exists, "the engine's socket")

    @property
    def socket(self) -> str:
        return str(self.folder / "engine.sock")

    def _load_image(self) -> None:
        config = ImageConfig(cmd=["sleep", "3600"], env=["PATH=/bin"])
        root = busybox_root(Path("/bin/busybox").read_bytes(), APPLETS)
        archive = write_archive(self.folder / "image.tar", IMAGE, root, config)

        async def load() -> None:
            engine = self.engine()

            async def ready() -> bool:
                try:
                    return bool(await engine.version())
                except Exception:
                    return False

            await until("the engine answers", ready)
            await engine.load_image(str(archive))
            await engine.close()

        asyncio.run(load())

    def engine(self) -> Any:
        if self.runtime == "docker":
            from node.engine.docker import DockerEngine

            return DockerEngine(self.socket)
        from node.engine.embedded import EmbeddedEngine

        return EmbeddedEngine(self.socket)

    def _start_masters(self) -> None:
        folder, store = self.folder, str(self.folder / "store.sock")
        member = {
            "name": "master-1",
            "data_dir": str(folder / "store"),
            "peers": {"master-1": "127.0.0.1:2380"},
            "client_socket": store,
            "profile_timeouts": {"election_ms": [200, 400], "heartbeat_ms": 50},
        }
        server = {
            "name": "master-1",
            "bind_address": self.address,
            "port": 6443,
            "advertise_address": self.address,
            "tls": self.pair("apiserver"),
            "client_ca_file": self.ca_file,
            "store_sockets": [f"unix:{store}"],
            "kubelet_client": {**self.pair("kubelet-client"), "ca_file": self.ca_file},
        }
        self.start("raftstore", member)
        self.start("master.apiserver", server)

    def start_kubelet(self) -> None:
        config = {
            "node_name": NODE,
            "address": self.address,
            "client": {"servers": [self.server], "ca_file": self.ca_file, **self.pair("kubelet")},
            "root_dir": str(self.folder / "kubelet"),
            "engine": {"kind": self.runtime, "socket": self.socket},
            "cluster_cidr": "10.232.0.0/16",
            "cluster_dns": ["10.96.0.10"],
            "static_pod_dir": str(self.manifests),
            "server_tls": self.pair("kubelet-server"),
            "client_ca_file": self.ca_file,
            "cgroup_parent": f"{self.cgroup}/pods",
            "lease_renew_s": 1,
            **self.extra,
        }
        self.manifests.mkdir(exist_ok=True)
        self.start("node", config)

    def start(self, module: str, config: dict[str, Any]) -> None:
        path = self.folder / f"{module}.json"
        path.write_text(json.dumps(config))
        self.spawn(module, sys.executable, "-m", module, "--config", str(path))

    def stop(self, name: str, *, kill: bool = False) -> float:
        """How long it took."""
        process, began_s = self.processes[name], time.monotonic()
        if kill:
            process.kill()
        else:
            process.terminate()
        process.wait(PATIENCE_S)
        return time.monotonic() - began_s

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    @property
    def server(self) -> str:
        return f"https://{self.address}:6443"

    # Using it.

    def client(self, who: str = "admin") -> RestClient:
        return RestClient(
            ClientConfig(servers=[self.server], ca_file=self.ca_file, **self.pair(who)), user_agent="node-lab"
        )

    def tls(self, who: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        context.load_cert_chain(**{"certfile": self.pair(who)["cert_file"], "keyfile": self.pair(who)["key_file"]})
        return context

    async def ready(self, client: RestClient) -> Node:
        """Give the node a pod CIDR, as the controllers would, and wait until it is Ready."""

        async def registered() -> Node | None:
            return await client.get(Node, NODE)

        node = await until("the node registers", registered)
        if not node.spec.pod_cidr:
            await client.patch(Node, NODE, "", {"spec": {"podCIDR": self.pod_cidr, "podCIDRs": [self.pod_cidr]}})

        async def is_ready() -> Node | None:
            found = await client.get(Node, NODE)
            good = any(each.type == "Ready" and each.status == "True" for each in found.status.conditions)
            return found if good else None

        return await until("the node is Ready", is_ready)

    async def apply(self, client: RestClient, manifest: str) -> Pod:
        tree = yaml.safe_load(manifest)
        tree["metadata"].setdefault("namespace", "default")
        tree["spec"]["nodeName"] = NODE
        tree["spec"].setdefault("terminationGracePeriodSeconds", 1)
        for container in [*tree["spec"]["containers"], *tree["spec"].get("initContainers", [])]:
            container.setdefault("image", IMAGE)
        return await client.create(msgspec.convert(tree, Pod))

    async def pod_when(self, client: RestClient, name: str, test: Callable[[Pod], bool], what: str = "") -> Pod:
        seen: list[Pod] = []

        async def found() -> Pod | None:
            seen[:] = [await client.get(Pod, name, "default")]
            return seen[0] if test(seen[0]) else None

        try:
            return await until(what or f"pod {name}", found)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{msgspec.json.encode(seen[0].status).decode() if seen else ''}") from error

    async def gone(self, client: RestClient, name: str) -> None:
        async def is_gone() -> bool:
            try:
                await client.get(Pod, name, "default")
            except NotFound:
                return True
            return False

        await until(f"pod {name} is gone", is_gone)

    def wait_for(self, test: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not test():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{what}: not within {PATIENCE_S:.0f} s\n{self.logs()}")
            time.sleep(0.02)

    def logs(self, lines: int = 40) -> str:
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            parts.append(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
        return "\n".join(parts)

    # Clearing up.

    def _cgroup_folder(self) -> Path:
        unified = CGROUPS / "unified"
        return (unified if unified.is_dir() else CGROUPS) / self.mark

    def cut_power(self) -> None:
        """The node's containers, engine and kubelet at once; the master goes on."""
        for name in ("node", "engine", "pods"):
            group = self._cgroup_folder() / name
            (group / "cgroup.kill").write_text("1")
            self.wait_for(lambda group=group: "populated 0" in (group / "cgroup.events").read_text(), f"{name} is dead")
        for name in ("node", "engine"):
            self.processes[name].wait(PATIENCE_S)
        Path(self.socket).unlink(missing_ok=True)
        if self.runtime == "docker":
            unmount_below(self.folder / "exec")
            shutil.rmtree(self.folder / "exec", ignore_errors=True)

    def restore_power(self) -> None:
        self._start_engine()
        self.start_kubelet()

    def close(self) -> None:
        folder = self._cgroup_folder()
        if (folder / "cgroup.kill").exists():
            (folder / "cgroup.kill").write_text("1")
        for process in self.processes.values():
            process.kill()
            process.wait(PATIENCE_S)
        deadline_s = time.monotonic() + 10
        while "populated 1" in (folder / "cgroup.events").read_text() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        unmount_below(self.folder)
        subprocess.run(["ip", "netns", "del", self.mark], capture_output=True, timeout=20)
        subprocess.run(["ip", "link", "del", self.mark], capture_output=True, timeout=20)
        for group in [CGROUPS / self.mark, *CGROUPS.glob(f"*/{self.mark}")]:
            remove_cgroup(group)
        shutil.rmtree(self.folder, ignore_errors=True)


def unmount_below(folder: Path) -> None:
    libc = ctypes.CDLL(None)
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((each for each in points if each.startswith(f"{folder}/")), reverse=True):
        libc.umount2(os.fsencode(point), 2)


def remove_cgroup(group: Path) -> None:
    if not group.is_dir():
        return
    for path, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(path)
        except OSError:
            continue
