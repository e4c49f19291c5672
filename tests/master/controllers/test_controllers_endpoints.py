"""Endpoints and slices: only live pods, each exactly once, in as few writes as possible."""

from controllers_objects import pod, service
from hypothesis import given, settings
from hypothesis import strategies as st

from master.api.core.container import Container, ContainerPort
from master.api.core.pod import Pod
from master.api.core.service import ServicePort
from master.api.discovery.endpointslice import EndpointSlice
from master.controllers.endpointmodel import backends
from master.controllers.endpoints import plan_endpoints
from master.controllers.endpointslice import MAX_ENDPOINTS, plan_slices

HTTP = ServicePort(name="http", port=80, target_port=8080, protocol="TCP")


def with_port(item: Pod, name: str, number: int) -> Pod:
    item.spec.containers = [Container(name="c", ports=[ContainerPort(name=name, container_port=number)])]
    return item


pods = st.lists(
    st.tuples(
        st.sampled_from(["Pending", "Running", "Failed", "Succeeded"]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=20,
).map(
    lambda facts: [
        pod(
            f"p-{i}",
            phase=phase,
            ready=ready,
            deleted=deleted,
            ip=f"10.91.0.{i}" if has_ip else "",
            labels=None if matches else {"app": "else"},
        )
        for i, (phase, ready, deleted, has_ip, matches) in enumerate(facts)
    ]
)


@settings(deadline=None)
@given(pods, st.booleans())
def test_only_live_matching_pods_with_an_address_are_endpoints(present: list[Pod], publish: bool) -> None:
    svc = service(HTTP, publish=publish)
    by_ip = {item.status.pod_ip: item for item in present}
    for backend in backends(svc, present):
        item = by_ip[backend.ip]
        ready = item.status.conditions[0].status == "True"
        going = item.metadata.deletion_timestamp is not None
        assert item.status.phase not in ("Failed", "Succeeded") and item.metadata.labels == svc.spec.selector
        assert (backend.serving, backend.terminating) == (ready, going)
        assert backend.ready == (publish or (ready and not going))
    subsets = plan_endpoints(svc, present, None).subsets
    addresses = {address.ip for subset in subsets for address in subset.addresses}
    assert addresses == {backend.ip for backend in backends(svc, present) if backend.ready}


def apply(existing: list[EndpointSlice], svc: object, present: list[Pod]) -> tuple[list[EndpointSlice], int]:
    plan = plan_slices(svc, backends(svc, present), existing)  # type: ignore[arg-type]
    slices = {slice_.metadata.name: slice_ for slice_ in existing}
    for slice_ in plan.update:
        slices[slice_.metadata.name] = slice_
    for slice_ in plan.delete:
        del slices[slice_.metadata.name]
    for number, slice_ in enumerate(plan.create):
        slice_.metadata.name = f"web-{len(slices)}-{number}-{len(existing)}"
        assert slice_.metadata.name not in slices
        slices[slice_.metadata.name] = slice_
    return list(slices.values()), len(plan.update) + len(plan.delete) + len(plan.create)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 260), min_size=1, max_size=5))
def test_slices_hold_every_endpoint_once_within_their_bound_and_settle(sizes: list[int]) -> None:
    svc = service(HTTP)
    slices: list[EndpointSlice] = []
    for size in sizes:
        present = [pod(f"p-{i}", ip=f"10.91.{i // 250}.{i % 250}") for i in range(size)]
        slices, _ = apply(slices, svc, present)
        held = [address for slice_ in slices for endpoint in slice_.endpoints for address in endpoint.addresses]
        assert sorted(held) == sorted(item.status.pod_ip for item in present)
        assert all(0 < len(slice_.endpoints) <= MAX_ENDPOINTS for slice_ in slices)
        assert apply(slices, svc, present) == (slices, 0)


def test_one_pod_that_changes_changes_one_slice() -> None:
    svc = service(HTTP)
    present = [pod(f"p-{i}", ip=f"10.91.{i // 250}.{i % 250}") for i in range(230)]
    slices, _ = apply([], svc, present)
    present[150] = pod("p-150", ip=present[150].status.pod_ip, ready=False)
    after, writes = apply(slices, svc, present)
    assert writes == 1 and len(after) == 3


def test_a_named_port_is_looked_up_in_each_pod() -> None:
    svc = service(ServicePort(name="web", port=80, target_port="http", protocol="TCP"))
    old = with_port(pod("a", ip="10.91.0.1"), "http", 8080)
    new = with_port(pod("b", ip="10.91.0.2"), "http", 9090)
    without = pod("c", ip="10.91.0.3")
    slices, _ = apply([], svc, [old, new, without])
    found = {tuple(port.port for port in slice_.ports): slice_.endpoints[0].addresses for slice_ in slices}
    assert found == {(8080,): ["10.91.0.1"], (9090,): ["10.91.0.2"], (): ["10.91.0.3"]}
    subsets = plan_endpoints(svc, [old, new, without], None).subsets
    assert {tuple(p.port for p in s.ports): s.addresses[0].ip for s in subsets} == {
        (8080,): "10.91.0.1",
        (9090,): "10.91.0.2",
        (): "10.91.0.3",
    }


def test_what_is_right_already_is_not_written_again() -> None:
    svc, present = service(HTTP, cluster_ip="None"), [pod("a", ip="10.91.0.1"), pod("b", ip="10.91.0.2", ready=False)]
    made = plan_endpoints(svc, present, None)
    assert made.metadata.labels["service.kubernetes.io/headless"] == ""
    assert plan_endpoints(svc, present, made) is made


def test_a_terminating_pod_leaves_endpoints_but_stays_in_its_slice() -> None:
    svc, present = service(HTTP), [pod("a", ip="10.91.0.1", deleted=True)]
    assert plan_endpoints(svc, present, None).subsets == []
    ((slice_,), _) = apply([], svc, present)
    conditions = slice_.endpoints[0].conditions
    assert (conditions.ready, conditions.serving, conditions.terminating) == (False, True, True)


def test_of_two_pods_with_one_address_the_one_that_serves_is_the_endpoint() -> None:
    """A pod in the host's network and its successor on the same node, whose name comes later."""
    going, coming = pod("a", ip="10.90.0.11", ready=False, deleted=True), pod("b", ip="10.90.0.11")
    for order in ([going, coming], [coming, going]):
        (backend,) = backends(service(HTTP), order)
        assert (backend.pod_name, backend.ready) == ("b", True)


def test_pods_with_one_address_and_different_ports_are_all_endpoints() -> None:
    named = ServicePort(name="http", port=80, target_port="web", protocol="TCP")
    here = [with_port(pod(f"p-{number}", ip="10.90.0.11"), "web", number) for number in (8080, 8081)]
    assert [backend.ports[0].port for backend in backends(service(named), here)] == [8080, 8081]
    plan = plan_slices(service(named), backends(service(named), here), [])
    assert sorted(slice_.ports[0].port or 0 for slice_ in plan.create) == [8080, 8081]
    assert len(plan_endpoints(service(named), here, None).subsets) == 2
