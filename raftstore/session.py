"""Sessions: how a retried command is applied once. Part of the replicated state; pure.

A client opens a session through the log and numbers its commands. The result of each is kept until the client
says (in a later command) that it has heard it. A command seen before gets its first result; one that the client
has already acknowledged, or that belongs to a session which is no more, is refused and changes nothing.
"""

from typing import Final

from msgspec import Struct

from raftstore.protocol import Refused, Result

# Far beyond the API servers of any cluster; the longest unused one makes room.
MAX_SESSIONS: Final = 10_000
MAX_UNACKNOWLEDGED: Final = 8_192

_REPEATED: Final = Refused("unknown", "a repetition of a command whose result was already acknowledged")
_NO_SESSION: Final = Refused("session-expired", "the session does not exist or has expired")
_TOO_MANY: Final = Refused("invalid", f"more than {MAX_UNACKNOWLEDGED} results of the session are unacknowledged")


class Session(Struct, array_like=True):
    """What is remembered of one client."""

    acknowledged: int
    used_at_ms: int
    results: dict[int, Result]


class SessionTable:
    """Every open session by number."""

    def __init__(self) -> None:
        self.next_id = 1
        self.sessions: dict[int, Session] = {}

    def open(self, now_ms: int) -> int:
        """A new session; numbers are never used again."""
        if len(self.sessions) >= MAX_SESSIONS:
            oldest = min(self.sessions, key=lambda number: (self.sessions[number].used_at_ms, number))
            del self.sessions[oldest]
        number = self.next_id
        self.next_id += 1
        self.sessions[number] = Session(0, now_ms, {})
        return number

    def earlier_result(self, number: int, sequence: int, acknowledged: int, now_ms: int) -> Result | None:
        """The answer when the command must not be applied (again); None when it must."""
        session = self.sessions.get(number)
        if session is None:
            return _NO_SESSION
        session.used_at_ms = now_ms
        if acknowledged > session.acknowledged:
            session.acknowledged = acknowledged
            for heard in [kept for kept in session.results if kept <= acknowledged]:
                del session.results[heard]
        if sequence <= session.acknowledged:
            return _REPEATED
        result = session.results.get(sequence)
        if result is None and len(session.results) >= MAX_UNACKNOWLEDGED:
            return _TOO_MANY
        return result

    def keep(self, number: int, sequence: int, result: Result) -> None:
        """Remember the result of a command until the client has heard it."""
        self.sessions[number].results[sequence] = result

    def expire(self, idle_since_ms: int) -> int:
        """Forget sessions unused since then; how many."""
        idle = [number for number, session in self.sessions.items() if session.used_at_ms < idle_since_ms]
        for number in idle:
            del self.sessions[number]
        return len(idle)

    def oldest_use_ms(self) -> int | None:
        """When the longest unused session was last used."""
        return min((session.used_at_ms for session in self.sessions.values()), default=None)
