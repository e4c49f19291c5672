"""One member of the store: a process with one thread and one loop, of which each turn is a Raft tick."""

import gc
import importlib.metadata
import logging
import resource
from pathlib import Path
from typing import Final

from raftstore.config import MemberConfig, parse_address
from raftstore.errors import FatalStoreError
from raftstore.eventloop import EventLoop
from raftstore.forwarding import Forwarding
from raftstore.frontend import Frontend
from raftstore.housekeeping import Housekeeping
from raftstore.protocol import Command, Proposal, StoreStatus
from raftstore.raft.core import RaftCore
from raftstore.raft.seams import Environment
from raftstore.raft.snapshot import SnapshotFiles
from raftstore.raft.transport import PeerTransport
from raftstore.raft.wal import WriteAheadLog
from raftstore.state import StateMachine

logger = logging.getLogger("raftstore.member")

_MAINTAIN_S: Final = 0.1
_MAINTAIN_SLACK_S: Final = 0.1
_SECOND_S: Final = 1.0
_HAND_OVER_S: Final = 1.0
# Long-lived objects are the rule here: let the collector look seldom.
_GC_THRESHOLDS: Final = (50_000, 20, 50)


class Member:
    """Puts the parts together and turns the crank."""

    def __init__(self, config: MemberConfig, environment: Environment | None = None) -> None:
        self._config = config
        self._environment = environment or Environment()
        data_dir = Path(config.data_dir)
        _check_identity(data_dir, config.name)
        self._loop = EventLoop()
        self._journal = WriteAheadLog(data_dir / "journal")
        self._machine = StateMachine()
        addresses = {name: parse_address(address) for name, address in config.peers.items()}
        self._transport = PeerTransport(self._loop, config.name, addresses, config.peer_tls, self._journal)
        self._core = RaftCore(
            config.name,
            [name for name in sorted(config.peers) if name != config.name],
            journal=self._journal,
            snapshots=SnapshotFiles(data_dir / "snapshots", monotonic_s=self._environment.monotonic_s),
            machine=self._machine,
            transport=self._transport,
            environment=self._environment,
            tuning=config.raft_tuning(),
        )
        self._housekeeping = Housekeeping(self._machine, self._propose)
        self._forwarding = Forwarding(self._transport.send_to, self._environment.random)
        self._leader = ""
        self._frontend = Frontend(
            self._loop,
            self._core,
            self._machine,
            self._housekeeping,
            self._forwarding,
            send=self._transport.send_to,
            status=self.status,
        )
        self._transport.on_forward = self._frontend.peer_message
        self._transport.on_peer_lost = self._forwarding.peer_lost
        self._maintain_at_s = 0.0
        self._second_at_s = 0.0
        self._stopping = False

    # --- the loop

    def run(self) -> None:
        """Serve until `stop` is called; raises FatalStoreError when the disk cannot be trusted."""
        self._frontend.listen(Path(self._config.client_socket))
        logger.info(
            "member %s serves: term %d, entries up to %d, revision %d",
            self._config.name,
            self._core.raftCurrentTerm,
            self._core.log_bounds[1],
            self._machine.space.revision,
        )
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        while not self._stopping:
            self.turn()
        self._hand_over()
        self._frontend.close()
        self._core.destroy()
        Path(self._config.client_socket).unlink(missing_ok=True)

    def stop(self) -> None:
        """End `run` soon; safe from a signal handler."""
        self._stopping = True
        self._loop.wake()

    def turn(self) -> None:
        """Wait for something to do and do it."""
        frontend, core = self._frontend, self._core
        self._loop.poll(self._wait_s())
        now_s = self._environment.monotonic_s()
        if core.is_leader:
            frontend.proposals.propose(self._housekeeping.time_ms(now_s))
        else:
            frontend.proposals.propose(0)
        frontend.queries.start_round()
        core.doTick()
        if core.leader_name != self._leader:
            self._leader = core.leader_name
            self._forwarding.leader_changed(self._leader)
        frontend.queries.applied()
        frontend.watches.pump(now_s)
        if now_s >= self._maintain_at_s:
            self._maintain(now_s)
        frontend.flush()
        self._transport.flush()

    def _wait_s(self) -> float:
        if self._frontend.proposals.is_ready:
            return 0.0
        now_s = self._environment.monotonic_s()
        # Heartbeats wake an idle member as often as maintenance wants, so it rides on them.
        return min(self._core.next_deadline_s(), self._maintain_at_s + _MAINTAIN_SLACK_S) - now_s

    def _maintain(self, now_s: float) -> None:
        self._maintain_at_s = now_s + _MAINTAIN_S
        self._transport.maintain()
        self._housekeeping.run(now_s, is_leader=self._core.is_leader)
        if now_s >= self._second_at_s:
            self._second_at_s = now_s + _SECOND_S
            self._frontend.watches.every_second(now_s, has_leader=bool(self._core.leader_name))

    def _propose(self, command: Command) -> None:
        self._frontend.propose(Proposal(0, 0, 0, command))

    def _hand_over(self) -> None:
        """A planned stop need not cost an election timeout."""
        deadline_s = self._environment.monotonic_s() + _HAND_OVER_S
        asked = False
        while self._core.is_leader and self._environment.monotonic_s() < deadline_s:
            if not asked:
                asked = self._core.transfer_leadership()
                if len(self._config.peers) == 1:
                    return
            self.turn()

    # --- status

    def status(self) -> StoreStatus:
        """What this member knows of itself and the cluster."""
        core, space = self._core, self._machine.space
        first, last = core.log_bounds
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return StoreStatus(
            name=self._config.name,
            role=core.role,
            leader=core.leader_name,
            term=core.raftCurrentTerm,
            commit_index=core.raftCommitIndex,
            applied_index=core.raftLastApplied,
            revision=space.revision,
            compact_revision=space.compact_revision,
            members=core.member_names,
            version=importlib.metadata.version("timonier"),
            log_first_index=first,
            log_last_index=last,
            snapshot_index=core.snapshot_index,
            key_count=len(space),
            value_bytes=space.value_bytes,
            journal_syncs=self._journal.sync_count,
            journal_bytes=self._journal.synced_bytes,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
        )


def _check_identity(data_dir: Path, name: str) -> None:
    """A member that began as another would vote twice: its directory says whose it is."""
    path = data_dir / "member"
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.write_text(name + "\n")
        found = path.read_text().strip()
    except OSError as error:
        raise FatalStoreError(f"data directory {data_dir}: {error}") from error
    if found != name:
        raise FatalStoreError(f"data directory {data_dir} belongs to member {found!r}, not to {name!r}")
