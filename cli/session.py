"""What every verb works with: a connection to the cluster, the namespace, and what the server serves."""

import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from cli.kubeconfig import find_kubeconfig, read_login
from cli.manifests import Manifest
from cli.resources import Catalogue, Resource, Tree, parse_discovery
from master.client.rest import RestClient

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
PAGE = 500
"""kubectl reads lists in chunks of this size."""


class Session:
    """Works on plain trees: the command line shows whatever the server has, known kind or not."""

    def __init__(self, client: RestClient, namespace: str, *, namespace_is_chosen: bool = False) -> None:
        self.client = client
        self.namespace = namespace
        self._namespace_is_chosen = namespace_is_chosen
        self._catalogue: Catalogue | None = None

    async def catalogue(self) -> Catalogue:
        if self._catalogue is None:
            documents = [await self.get(path, accept=DISCOVERY) for path in ("/api", "/apis")]
            self._catalogue = parse_discovery(documents)
        return self._catalogue

    def namespace_of(self, manifest: Manifest, resource: Resource) -> str:
        """Where a manifest's object belongs; a manifest and `-n` that disagree are an error."""
        if not resource.namespaced:
            return ""
        if self._namespace_is_chosen and manifest.namespace not in ("", self.namespace):
            raise CommandError(
                f'the namespace from the provided object "{manifest.namespace}" does not match the namespace '
                f"\"{self.namespace}\". You must pass '--namespace={manifest.namespace}' to perform this operation."
            )
        return manifest.namespace or self.namespace

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, accept: str = "application/json"
    ) -> Tree:
        return await self.send("GET", path, params=params, accept=accept)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Tree:
        headers = {"Accept": accept, **({"Content-Type": content_type} if body is not None else {})}
        _, content = await self.client.request(method, path, params=params or {}, json_body=body, headers=headers)
        tree: Tree = json.loads(content)
        return tree

    async def list(
        self, resource: Resource, params: Mapping[str, str] | None = None, *, namespace: str | None = None
    ) -> list[Tree]:
        """All objects, page by page, each with kind and apiVersion."""
        found: list[Tree] = []
        query = {"limit": str(PAGE), **(params or {})}
        while True:
            page = await self.get(resource.path(self.namespace if namespace is None else namespace), query)
            found.extend(page.get("items") or [])
            token = page.get("metadata", {}).get("continue")
            if not token:
                break
            query["continue"] = token
        for item in found:
            item.setdefault("kind", resource.kind)
            item.setdefault("apiVersion", resource.api_version)
        return found


@asynccontextmanager
async def open_session(kubeconfig: str, context: str, namespace: str) -> AsyncIterator[Session]:
    login = read_login(find_kubeconfig(kubeconfig, os.environ), context)
    with tempfile.TemporaryDirectory(prefix="timonier-") as directory:
        client = RestClient(login.client_config(Path(directory)), user_agent="timonier-cli")
        try:
            yield Session(client, namespace or login.namespace, namespace_is_chosen=bool(namespace))
        finally:
            await client.close()
