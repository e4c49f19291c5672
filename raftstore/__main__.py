"""`python -m raftstore --config FILE`: run one member until SIGTERM, or until its disk fails."""

import argparse
import logging
import signal
import sys
from pathlib import Path
from typing import Final

from raftstore.config import load_config
from raftstore.errors import FatalStoreError, InvalidArgument
from raftstore.member import Member

logger = logging.getLogger("raftstore")

EXIT_USAGE: Final = 2
EXIT_FATAL: Final = 3


def main() -> int:
    """The process's exit status."""
    parser = argparse.ArgumentParser(prog="raftstore", description="one member of the replicated store")
    parser.add_argument("--config", required=True, type=Path, help="the member's configuration (JSON)")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        member = Member(load_config(arguments.config))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, frame: member.stop())
        member.run()
    except InvalidArgument as error:
        logger.error("%s", error)
        return EXIT_USAGE
    except FatalStoreError as error:
        logger.critical("fatal: %s", error)
        return EXIT_FATAL
    return 0


if __name__ == "__main__":
    sys.exit(main())
