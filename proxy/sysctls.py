"""Kernel settings of the node's network namespace without which service traffic does not flow."""

import logging
from pathlib import Path

LOG = logging.getLogger(__name__)
PROC = Path("/proc/sys")
WANTED = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/route_localnet": "1",  # 127.0.0.1:nodePort; compile.py drops what must not use it
    "net/bridge/bridge-nf-call-iptables": "1",  # two pods on one bridge: DNAT must see the answers too
}


def apply_sysctls(root: Path = PROC) -> list[str]:
    """Set what differs; returns the names set. A missing or read-only setting is reported, not fatal."""
    done = []
    for name, value in WANTED.items():
        try:
            if (root / name).read_text().strip() != value:
                (root / name).write_text(value)
                done.append(name)
        except OSError as error:
            LOG.warning("%s stays as it is: %s", name, error)
    return done
