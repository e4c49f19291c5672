"""Scenarios by the name under which the command line plays them."""

from collections.abc import Awaitable, Callable

import msgspec

from chaos.fabric import Fabric
from chaos.report import Verdict
from chaos.scenarios import kill_node_under_load
from master.client.config import ClientConfig

Say = Callable[[str], None]


class Scenario(msgspec.Struct, frozen=True):
    name: str
    summary: str
    play: Callable[[ClientConfig, Fabric, Say], Awaitable[Verdict]]


async def _kill_node_under_load(config: ClientConfig, fabric: Fabric, say: Say) -> Verdict:
    return await kill_node_under_load.run(config, fabric, say=say)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            kill_node_under_load.NAME,
            "a node loses its power while clients ask a Service; its pods must serve elsewhere within seconds",
            _kill_node_under_load,
        ),
    )
}
