"""`python -m master.controllers --config FILE`: the controller manager of one master."""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys

import msgspec
import uvloop

from master.controllers.config import ControllersConfig, load_config
from master.controllers.process import run


async def serve(config: ControllersConfig) -> None:
    """Until SIGTERM or SIGINT, then an orderly end (the lease is released)."""
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(run(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def main() -> int:
    parser = argparse.ArgumentParser(prog="master.controllers", description=__doc__)
    parser.add_argument("--config", required=True, help="configuration file (JSON)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s %(message)s")
    try:
        config = load_config(arguments.config)
    except (OSError, msgspec.MsgspecError) as error:
        print(f"{arguments.config}: {error}", file=sys.stderr)
        return 2
    uvloop.run(serve(config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
