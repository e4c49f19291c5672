"""`python -m proxy --config FILE` runs the node's proxy; `--cleanup` removes all its rules and ends."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from master.client.process import until_signal
from master.client.rest import RestClient
from proxy.agent import ProxyAgent
from proxy.config import ProxyConfig, load_config
from proxy.dns.server import remove_address
from proxy.writer import TableUnavailable, choose_writer

LOG = logging.getLogger("proxy")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proxy", description=__doc__)
    parser.add_argument("--config", type=Path, help="configuration file (JSON)")
    parser.add_argument("--cleanup", action="store_true", help="remove every rule of the proxy and end")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    if arguments.cleanup:
        return _cleanup(arguments.config)
    if not arguments.config:
        parser.error("--config is needed")
    try:
        config = load_config(arguments.config)
        asyncio.run(_run(config))
    except (OSError, ValueError, TableUnavailable) as error:
        LOG.error("cannot start: %s", error)
        return 1
    return 0


async def _run(config: ProxyConfig) -> None:
    """Until SIGTERM or SIGINT."""
    client = RestClient(config.client, user_agent="timonier-proxy")
    try:
        await until_signal(ProxyAgent(config, client, choose_writer()).run())
        LOG.info("stopped; rules stay in place")
    finally:
        await client.close()


def _cleanup(config_file: Path | None) -> int:
    choose_writer().cleanup()
    dns = load_config(config_file).dns if config_file else None
    if dns:
        remove_address(dns.address)
    LOG.info("all rules of the proxy are removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
