"""Container output as log lines of the CRI format: `<time> stdout F text`. Pure.

A line longer than the bound, or one that the stream's end cut short, is written in pieces marked P (partial).
"""

import time

# containerd's max_container_log_line_size: a program without newlines must not grow our memory.
MAX_LINE_BYTES = 16 * 1024
STREAM_NAMES = {1: b"stdout", 2: b"stderr"}


class LineSplitter:
    """One stream's bytes → finished log lines."""

    def __init__(self, stream: int) -> None:
        self._name = STREAM_NAMES[stream]
        self._rest = b""

    def feed(self, data: bytes, now_ns: int) -> bytes:
        stamp = timestamp(now_ns)
        *lines, rest = (self._rest + data).split(b"\n")
        out = []
        for line in lines:
            out += self._pieces(line, stamp)
            out.append(self._line(stamp, b"F", line[_tail(line) :]))
        out += self._pieces(rest, stamp)
        self._rest = rest[_tail(rest) :]
        return b"".join(out)

    def finish(self, now_ns: int) -> bytes:
        """What stands there without a newline when the stream ends."""
        rest, self._rest = self._rest, b""
        return self._line(timestamp(now_ns), b"P", rest) if rest else b""

    def _pieces(self, line: bytes, stamp: bytes) -> list[bytes]:
        """All full pieces of an overlong line; its tail is left."""
        starts = range(0, _tail(line), MAX_LINE_BYTES)
        return [self._line(stamp, b"P", line[start : start + MAX_LINE_BYTES]) for start in starts]

    def _line(self, stamp: bytes, tag: bytes, text: bytes) -> bytes:
        return b"%s %s %s %s\n" % (stamp, self._name, tag, text)


def _tail(line: bytes) -> int:
    """Where the last piece of a line begins; that piece may be full, but not longer."""
    return max(0, len(line) - 1) // MAX_LINE_BYTES * MAX_LINE_BYTES


def timestamp(now_ns: int) -> bytes:
    """RFC 3339 with nanoseconds, UTC."""
    seconds, fraction = divmod(now_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % fraction
