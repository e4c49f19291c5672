"""`python -m node --config FILE`: the kubelet of one node, to be started inside its network namespace."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

import msgspec

from node.agent import run_kubelet
from node.config import NodeConfig, load_config
from node.engine.base import Engine
from node.network.base import Network


def make_engine(config: NodeConfig) -> Engine:
    # Imported here: a node with one engine need not have the other's library installed.
    if config.engine.kind == "docker":
        from node.engine.docker import DockerEngine

        return DockerEngine(config.engine.socket, pause_image=config.pause_image)
    from node.engine.embedded import EmbeddedEngine

    return EmbeddedEngine(config.engine.socket)


def make_network(config: NodeConfig) -> Network:
    state_dir = Path(config.root_dir) / "network"
    if config.network.kind == "cni":
        from node.network.cni import CniNetwork

        return CniNetwork(
            state_dir, config.cluster_cidr, plugin_dir=config.network.plugin_dir, conf_dir=config.network.conf_dir
        )
    from node.network.bridge import BridgeNetwork

    return BridgeNetwork(state_dir, config.cluster_cidr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m node", description=__doc__)
    parser.add_argument("--config", required=True, help="a JSON file, see node/config.py")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = load_config(arguments.config)
    except (OSError, msgspec.MsgspecError) as error:
        print(f"{arguments.config}: {error}", file=sys.stderr)
        return 2
    asyncio.run(_run(config))
    return 0


async def _run(config: NodeConfig) -> None:
    """Leaves without waiting for threads: a pull from a registry that is silent holds one for a long time, and until
    this process has gone no other kubelet can tell the masters that the node lives."""
    await run_kubelet(config, make_engine(config), make_network(config))
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
