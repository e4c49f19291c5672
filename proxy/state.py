"""The node's view of all services, kept up to date one service at a time.

Level-triggered: a changed service or slice only names the service as dirty; `refresh` looks it up again and recompiles
that one. What other services contribute is reused as it is.
"""

from collections.abc import Callable, Iterable

from master.api.core.service import Service
from master.api.discovery.endpointslice import EndpointSlice
from proxy.compile import Fragment, assemble, compile_mapping
from proxy.model import PortMapping, mappings_of
from proxy.rules import Ruleset

ServiceLookup = Callable[[str], Service | None]
SlicesLookup = Callable[[str], list[EndpointSlice]]


class ServiceState:
    """Port mappings and compiled fragments by service key (`namespace/name`)."""

    def __init__(self, node_name: str, cluster_cidr: str, served_here: Iterable[str] = ()) -> None:
        self._node_name = node_name
        self._cluster_cidr = cluster_cidr
        self._served_here = frozenset(served_here)
        self._mappings: dict[str, tuple[PortMapping, ...]] = {}
        self._fragments: dict[str, tuple[Fragment, ...]] = {}

    def refresh(self, keys: Iterable[str], service_of: ServiceLookup, slices_of: SlicesLookup) -> bool:
        """Recompute the services named; returns whether any rule may differ."""
        changed = [self._refresh(key, service_of(key), slices_of(key)) for key in keys]
        return any(changed)

    def mappings(self) -> list[PortMapping]:
        return [mapping for key in sorted(self._mappings) for mapping in self._mappings[key]]

    def ruleset(self) -> Ruleset:
        return assemble(fragment for key in sorted(self._fragments) for fragment in self._fragments[key])

    def _refresh(self, key: str, service: Service | None, slices: list[EndpointSlice]) -> bool:
        mappings = mappings_of(service, slices, self._node_name, self._served_here) if service else ()
        if mappings == self._mappings.get(key, ()):
            return False
        if mappings:
            self._mappings[key] = mappings
            self._fragments[key] = tuple(compile_mapping(mapping, self._cluster_cidr) for mapping in mappings)
        else:
            del self._mappings[key], self._fragments[key]
        return True
