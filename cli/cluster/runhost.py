"""`python -m cli.cluster.runhost master|node --config FILE`: a host's supervisor without the rest of the CLI.

The same as `timonier master run` and `timonier node run`; it starts faster and holds less memory.
"""

import argparse
from pathlib import Path

from cli.cluster.supervisor import run_host


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["master", "node"])
    parser.add_argument("--config", type=Path, required=True)
    run_host(parser.parse_args().config)


if __name__ == "__main__":
    main()
