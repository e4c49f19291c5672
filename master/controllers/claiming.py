"""Claiming applied: adopt and release through the API, after making sure that the owner is still the one we know."""

import asyncio
from collections.abc import Iterable
from typing import TypeVar

from master.api.meta import Object
from master.api.selectors import Selector
from master.api.status import Invalid, NotFound
from master.controllers.base import Controller
from master.controllers.owners import adoption_patch, plan_claims, release_patch

T = TypeVar("T", bound=Object)


async def claim(
    controller: Controller, key: str, owner: Object, selector: Selector, candidates: Iterable[T]
) -> list[T]:
    """All children that `owner` controls after this round's adoptions and releases."""
    claims = plan_claims(owner, selector, candidates)
    adopted: list[T] = []
    if claims.adopt and await _is_live(controller, owner):
        adopted = list(await asyncio.gather(*(_adopt(controller, key, owner, child) for child in claims.adopt)))
    await asyncio.gather(*(_release(controller, key, owner, child) for child in claims.release))
    return [*claims.owned, *adopted]


async def _is_live(controller: Controller, owner: Object) -> bool:
    """Asked of the server, not the cache: an owner that was deleted meanwhile must not catch new children."""
    meta = owner.metadata
    try:
        live = await controller.client.get(type(owner), meta.name, meta.namespace)
    except NotFound:
        return False
    return live.metadata.uid == meta.uid and live.metadata.deletion_timestamp is None


async def _adopt(controller: Controller, key: str, owner: Object, child: T) -> T:
    return await controller.patch(key, child, adoption_patch(owner, child))


async def _release(controller: Controller, key: str, owner: Object, child: Object) -> None:
    try:
        await controller.patch(key, child, release_patch(child, [owner.metadata.uid]))
    except (NotFound, Invalid):  # gone, or another object of the same name: nothing to release
        return
