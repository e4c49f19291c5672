"""Descriptions of Services, with the addresses behind them."""

from collections.abc import Iterator, Sequence

from cli.describe.page import Page, head
from cli.resources import Tree
from cli.workloads import selector_text


def describe_service(page: Page, service: Tree, slices: Sequence[Tree]) -> None:
    spec = service["spec"]
    head(page, service)
    page.field("Selector", selector_text(spec.get("selector")))
    page.field("Type", spec.get("type"))
    page.field("IP", spec.get("clusterIP"))
    if spec.get("externalIPs"):
        page.field("External IPs", ", ".join(spec["externalIPs"]))
    for port in spec.get("ports") or []:
        name, protocol = port.get("name") or "<unset>", port.get("protocol", "TCP")
        page.field("Port", f"{name}  {port['port']}/{protocol}")
        page.field("TargetPort", f"{port.get('targetPort', port['port'])}/{protocol}")
        if port.get("nodePort"):
            page.field("NodePort", f"{name}  {port['nodePort']}/{protocol}")
        page.field("Endpoints", ", ".join(endpoints(slices, port.get("name", ""))))
    page.field("Session Affinity", spec.get("sessionAffinity"))


def endpoints(slices: Sequence[Tree], port_name: str) -> Iterator[str]:
    """`10.91.1.4:8080` of every endpoint that is ready, for one port."""
    for each in slices:
        numbers = [port.get("port") for port in each.get("ports") or [] if (port.get("name") or "") == port_name]
        for endpoint in each.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready", True):
                yield from (f"{address}:{number}" for address in endpoint["addresses"] for number in numbers)
