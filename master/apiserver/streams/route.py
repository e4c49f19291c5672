"""Logs, exec, attach: requests that end on the node where the pod runs."""

from master.api.scheme import ResourceInfo
from master.api.status import ApiError
from master.apiserver import errors
from master.apiserver.context import Context
from master.apiserver.request import Request, Target
from master.apiserver.responses import Response


async def stream(context: Context, request: Request, target: Target, info: ResourceInfo) -> Response | None:
    raise not_served(target)


def not_served(target: Target) -> ApiError:
    return errors.make(501, "", f"{target.resource}/{target.subresource} is not served yet")
