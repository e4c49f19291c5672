"""`python -m master.controllers --config FILE`: the controller manager of one master."""

import argparse
import logging
import sys

import msgspec
import uvloop

from master.client.process import until_signal
from master.controllers.config import load_config
from master.controllers.process import run


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
    uvloop.run(until_signal(run(config)))  # an orderly end releases the lease
    return 0


if __name__ == "__main__":
    sys.exit(main())
