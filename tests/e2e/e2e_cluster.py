"""What the end-to-end tests share: commands against a real cluster, waiting for conditions, looking for traces."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.cluster import fabric
from cli.cluster.layout import Layout, load

TIMONIER = str(Path(sys.executable).with_name("timonier"))
NAME, NETWORK, PORT = "e2e", 92, 16443
UP_TIMEOUT_S = 420
COMMAND_TIMEOUT_S = 90
POLL_S = 0.2  # between two looks at a condition
IMAGE = "timonier/hello:1"
SERVE = ["sh", "-c", "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www"]


MEASURED: list[str] = []


def measured(text: str) -> None:
    """A figure to be shown at the end of the run: told, never judged."""
    MEASURED.append(text)


class Result:
    """A command's end: exit code and both streams."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class Cluster:
    """What the tests do to the cluster, in the words of a user."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.environment = {**os.environ, "TIMONIER_CLUSTER": name}

    @property
    def layout(self) -> Layout:
        return load(self.name)

    def use_kubeconfig(self, folder: Path) -> None:
        path = folder / "kubeconfig"
        path.write_text(self.timonier("kubeconfig").out)
        self.environment["KUBECONFIG"] = str(path)

    def run(self, *argv: str, stdin: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S) -> Result:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, env=self.environment
        )
        return Result(done)

    def timonier(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Result:
        """Must succeed."""
        result = self.run(TIMONIER, *arguments, timeout_s=timeout_s)
        assert result.code == 0, f"timonier {' '.join(arguments)}: {result}"
        return result

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Must succeed; returns what it printed."""
        result = self.run("kubectl", *arguments, stdin=stdin, timeout_s=timeout_s)
        assert result.code == 0, f"kubectl {' '.join(arguments)}: {result}"
        return result.out

    def kubectl_json(self, *arguments: str) -> Any:
        return json.loads(self.kubectl(*arguments, "-o", "json"))

    def status(self) -> Any:
        """`timonier status` ends with 1 while nothing runs, so its exit code is not judged here."""
        return json.loads(self.run(TIMONIER, "status", "-o", "json").out)

    def fetch(self, node: str, url: str, count: int = 1) -> list[str]:
        """Bodies of fresh requests from inside a node's namespace; "" for a failed one."""
        argv = [sys.executable, "-m", "cli.cluster.fetch", url, str(count)]
        out = fabric.in_netns(self.layout.netns(node), argv)
        return [json.loads(line).get("body", "") for line in out.splitlines()]

    def ready_pods(self, selector: str, namespace: str = "default") -> list[Any]:
        """Pods that are Ready and not being deleted."""
        pods = self.kubectl_json("get", "pods", "-n", namespace, "-l", selector)["items"]
        return [pod for pod in pods if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: Any) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def eventually(condition: Callable[[], Any], what: str, timeout_s: float = 90.0) -> Any:
    """The condition's first truthy value; an assertion with the last one when time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}; last value {value!r}"
        time.sleep(POLL_S)


def deployment_manifest(name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    """A web server that answers with its pod's name."""
    container = {
        "name": "web",
        "image": IMAGE,
        "command": SERVE,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 2, "containers": [container]},
    }
    selector = {"matchLabels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": selector, "template": template, **spec},
    }


def service_manifest(name: str) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def remove(cluster: Cluster) -> None:
    """Takes a cluster down with its state, if there is one."""
    try:
        load(cluster.name)
    except FileNotFoundError:
        return
    cluster.run(TIMONIER, "down", "--purge", timeout_s=120)


def traces(layout: Layout) -> list[str]:
    """Whatever of a cluster is still on this machine."""
    found = [f"netns {path}" for path in fabric.NETNS_DIR.glob(f"{layout.prefix}-*")]
    found += [f"link {layout.root_link}"] if Path(f"/sys/class/net/{layout.root_link}").exists() else []
    found += [
        f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if str(layout.home) in line
    ]
    found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"*/{layout.prefix}")]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(layout.home) in command:
                found.append(f"process {entry.name}: {command}")
    return found
