"""`python -m master.apiserver --config FILE`: one API server."""

import argparse
import asyncio
import gc
import logging
import sys

import uvloop

from master.apiserver.config import ServerConfig, load_config
from master.apiserver.server import ApiServer
from raftstore.client import StoreClient


def main() -> None:
    parser = argparse.ArgumentParser(prog="apiserver", description="The API server of a Timonier master.")
    parser.add_argument("--config", required=True, metavar="FILE", help="JSON configuration")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = load_config(arguments.config)
    gc.collect()
    gc.freeze()  # modules and types live as long as the process; collections need not look at them
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config))


async def _serve(config: ServerConfig) -> None:
    await ApiServer(config, StoreClient(config.store_sockets)).serve()


if __name__ == "__main__":
    main()
