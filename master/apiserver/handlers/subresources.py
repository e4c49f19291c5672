"""Subresources with a body of their own kind: scale, binding, eviction, finalize."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from master.api.autoscaling.scale import Scale, ScaleSpec, ScaleStatus
from master.api.core.binding import Binding
from master.api.core.namespace import Namespace
from master.api.core.pod import Pod, PodCondition
from master.api.decode import decode_options
from master.api.meta import DeleteOptions, ObjectMeta
from master.api.policy.eviction import Eviction
from master.api.scheme import SCHEME, ResourceInfo
from master.api.selectors import selector_from
from master.api.status import BadRequest, Conflict, FieldError, Invalid
from master.api.timestamps import now_rfc3339
from master.apiserver import errors
from master.apiserver.context import Context
from master.apiserver.entry import Entry
from master.apiserver.handlers import delete as deletion
from master.apiserver.handlers.objects import write_of
from master.apiserver.handlers.patch import patched, patcher
from master.apiserver.handlers.read import read_entry
from master.apiserver.handlers.write import update
from master.apiserver.negotiation import Form
from master.apiserver.request import Request, Target
from master.apiserver.responses import Response, shaped
from master.apiserver.writeoptions import check_options, decode_object, read_body

CREATED = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}'


def scale_of(info: ResourceInfo, entry: Entry) -> Scale:
    """The Scale that a workload shows."""
    obj = info.decode(entry.data)
    meta = obj.metadata
    metadata = ObjectMeta(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
        creation_timestamp=meta.creation_timestamp,
    )
    replicas = 1 if obj.spec.replicas is None else obj.spec.replicas
    selector = str(selector_from(obj.spec.selector)) if obj.spec.selector else ""
    status = ScaleStatus(replicas=obj.status.replicas, selector=selector)
    return Scale(metadata=metadata, spec=ScaleSpec(replicas=replicas), status=status)


def _scale_info() -> ResourceInfo:
    return SCHEME.by_struct(Scale)


def _scale_bytes(scale: Scale) -> bytes:
    return _scale_info().encode(scale)


async def get_scale(context: Context, _: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    entry = await read_entry(context, info, target.namespace, target.name)
    return shaped(form, _scale_bytes(scale_of(info, entry)))


async def put_scale(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    """PUT and PATCH: both come to a Scale whose replicas the workload takes over."""
    dry_run = check_options(request)
    body = await read_body(request)
    write = write_of(context, request, target, info, dry_run=dry_run)
    scaled = _replaced(request, target, body) if request.method == "PUT" else _patched(request, body)

    def change(old: Any) -> Any:
        scale = scaled(scale_of(info, Entry(info, write.relative_key(), 0, info.encode(old))))
        if scale.spec.replicas < 0:
            problem = FieldError.invalid("spec.replicas", scale.spec.replicas, "must be greater than or equal to 0")
            raise Invalid.of("Scale.autoscaling", target.name, [problem])
        old.metadata.resource_version = scale.metadata.resource_version
        old.spec.replicas = scale.spec.replicas
        return old

    outcome = await update(write, change)
    return shaped(form, _scale_bytes(scale_of(info, outcome.entry)))


def _replaced(request: Request, target: Target, body: bytes) -> Callable[[Scale], Scale]:
    wanted: Scale = decode_object(request, _scale_info(), body)
    if wanted.metadata.name not in ("", target.name):
        name = wanted.metadata.name
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    return lambda _: wanted


def _patched(request: Request, body: bytes) -> Callable[[Scale], Scale]:
    wanted = patcher(request, Scale, body)

    def scaled(scale: Scale) -> Scale:
        result: Scale = patched(request, _scale_info(), wanted, msgspec.json.decode(_scale_bytes(scale)), body)
        return result

    return scaled


async def bind(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    """The scheduler's decision: the pod's node, once and for all. POST on `/bindings` names the pod in the body."""
    dry_run = check_options(request)
    binding: Binding = decode_object(request, SCHEME.by_struct(Binding), await read_body(request))
    if info.kind == "Binding":
        info, target = SCHEME.by_struct(Pod), replace(target, name=binding.metadata.name, subresource="binding")
    if binding.metadata.name != target.name:
        raise BadRequest("name in URL does not match name in Binding object")
    if binding.target.kind not in ("", "Node") or not binding.target.name:
        problem = FieldError.not_supported("target.kind", binding.target.kind, ["Node", "<empty>"])
        raise Invalid.of(
            "Binding", target.name, [problem if binding.target.name else FieldError.required("target.name")]
        )
    now = now_rfc3339(context.env.now())

    def change(pod: Pod) -> Pod:
        _assign(pod, binding, now)
        return pod

    await update(write_of(context, request, target, info, dry_run=dry_run), change)
    return shaped(form, CREATED, 201)


def _assign(pod: Pod, binding: Binding, now: str) -> None:
    name = pod.metadata.name
    if binding.metadata.uid and binding.metadata.uid != pod.metadata.uid:
        raise Conflict.of("pods/binding", name, f"the pod's uid is {pod.metadata.uid}, not {binding.metadata.uid}")
    if pod.metadata.deletion_timestamp is not None:
        raise Conflict.of("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod.spec.node_name:
        raise Conflict.of("pods/binding", name, f'pod {name} is already assigned to node "{pod.spec.node_name}"')
    pod.spec.node_name = binding.target.name
    pod.metadata.annotations |= binding.metadata.annotations
    others = [condition for condition in pod.status.conditions if condition.type != "PodScheduled"]
    scheduled = PodCondition(type="PodScheduled", status="True", last_transition_time=now)
    pod.status.conditions = [*others, scheduled]


async def evict(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    """A deletion that will honour disruption budgets once there are any."""
    dry_run = check_options(request)
    body = await read_body(request)
    eviction = decode_options(Eviction, body, request.header(b"content-type") or None) if body.strip() else Eviction()
    if eviction.metadata.name not in ("", target.name):
        raise BadRequest("name in URL does not match name in Eviction object")
    options = eviction.delete_options or DeleteOptions()
    deletion.check_options(options)
    write = write_of(context, request, target, info, dry_run=dry_run or bool(options.dry_run))
    await deletion.delete(write, options)
    return shaped(form, CREATED, 201)


async def finalize(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    """PUT of a namespace whose content is gone: only `spec.finalizers` counts."""
    dry_run = check_options(request)
    wanted: Namespace = decode_object(request, info, await read_body(request))
    if wanted.metadata.name != target.name:
        name = wanted.metadata.name
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({target.name})")

    def change(namespace: Namespace) -> Namespace:
        namespace.metadata.resource_version = wanted.metadata.resource_version
        if wanted.metadata.uid and wanted.metadata.uid != namespace.metadata.uid:
            raise errors.conflict(info, target.name)
        namespace.spec.finalizers = wanted.spec.finalizers
        return namespace

    outcome = await update(write_of(context, request, target, info, dry_run=dry_run), change)
    return shaped(form, outcome.entry.data)
