"""An API server, a kubelet that knows two tricks, and the command in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from apiserver_certificates import TestAuthority
from apiserver_harness import ADMIN, Caller, ServerThread, config_for, free_port, until
from apiserver_memory_store import MemoryStore
from typer.testing import CliRunner

from cli.app import app
from cli.resources import Tree


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """`timonier …` as a user types it, and the server's own view beside it."""

    def __init__(self, folder: Path, kubeconfig: Path, api: Caller) -> None:
        self.folder = folder
        self.api = api
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(folder), "COLUMNS": "200"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """As a process of its own, for what is watched while it runs."""
        return subprocess.Popen(
            [sys.executable, "-c", "from cli.app import main; main()", *arguments],
            env=self._environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, stdin: str = "") -> Result:
        """In this process, which saves a second of imports a command."""
        done = CliRunner(env=self._environment).invoke(app, list(arguments), input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    def ok(self, *arguments: str, stdin: str = "") -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.code == 0, f"timonier {' '.join(arguments)}: {result}"
        return result.out

    def write(self, name: str, *objects: Tree) -> str:
        path = self.folder / name
        path.write_text(yaml.safe_dump_all(objects))
        return str(path)

    def tree(self, path: str) -> Any:
        return self.api.get(path).json


@contextmanager
def running_command(folder: Path) -> Iterator[Command]:
    authority = TestAuthority(folder)
    identity = authority.issue(ADMIN, ("system:masters",))
    server = ServerThread(config_for(authority, free_port(), []), MemoryStore())
    server.start()
    api = Caller(server.config.port, authority, identity)
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(kubeconfig_tree(server.config.port, authority.ca_file, identity)))

    def ready() -> bool:
        try:
            return api.get("/readyz").code == 200 and api.get("/api/v1/namespaces/default").code == 200
        except OSError:
            return False

    try:
        until(ready, "readiness")
        yield Command(folder, kubeconfig, api)
    finally:
        server.stop()


def kubeconfig_tree(port: int, ca_file: str, identity: tuple[str, str]) -> Tree:
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": ca_file}
    user = {"client-certificate": identity[0], "client-key": identity[1]}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }


def deployment(name: str, image: str = "img:1", replicas: int = 3, **env: str) -> Tree:
    container = {"name": "c", "image": image, "env": [{"name": key, "value": value} for key, value in env.items()]}
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def config_map(name: str, namespace: str = "", **data: str) -> Tree:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
