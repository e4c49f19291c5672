"""The seam between the agent and whatever writes rules: `IptablesWriter` (libiptc) or `RestoreWriter` (commands)."""

import logging
from typing import Protocol

from proxy.rules import Ruleset

LOG = logging.getLogger(__name__)


class RuleWriter(Protocol):
    """How a rule set reaches the kernel. All methods block: call them from one worker thread."""

    def apply(self, ruleset: Ruleset, *, full: bool = False) -> int:
        """Make the kernel's tables hold this rule set; returns the number of chains written. Raises WriteFailed."""

    def has_drifted(self) -> bool:
        """Whether a table is not as it was left by the last `apply`."""

    def cleanup(self) -> None:
        """Remove every chain and jump of ours."""


class WriteFailed(Exception):
    """The rules could not be written this time; the next attempt must write all of them."""


class TableUnavailable(Exception):
    """This writer cannot work here: the kernel, a library or a command is missing."""


def choose_writer() -> RuleWriter:
    """Legacy tables where they can be used, else the iptables-restore command; raises TableUnavailable."""
    try:
        from proxy.iptables import IptablesWriter  # binds libiptc when imported, and may find none

        IptablesWriter.check()
        return IptablesWriter()
    except (TableUnavailable, ImportError, AttributeError, OSError) as error:
        LOG.warning("legacy tables: %s; writing by iptables-restore", error)
    from proxy.restore import RestoreWriter

    return RestoreWriter()
