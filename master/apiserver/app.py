"""The application: Starlette around one raw endpoint for resources and a router for all other paths."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from master.api.status import ApiError
from master.apiserver.accounting import Accounting
from master.apiserver.context import Context
from master.apiserver.documents import documents
from master.apiserver.refusals import refuse, refuse_method
from master.apiserver.resources import ResourceRoute, Resources

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def application(context: Context, monotonic: Callable[[], float], lifespan: Lifespan) -> Starlette:
    app = Starlette(
        routes=[ResourceRoute(Resources(context)), Mount("", app=documents())],
        middleware=[Middleware(Accounting, new_id=context.env.uuid, monotonic=monotonic)],
        exception_handlers={ApiError: refuse, 405: refuse_method},
        lifespan=lifespan,
    )
    app.state.context = context
    return app
