"""A bare epoll loop: the member's one thread waits here, and nowhere else but for its disk."""

import os
import select
import time
from typing import Protocol


class Source(Protocol):
    """Something with a file descriptor that can become ready."""

    def ready(self, events: int) -> None: ...


READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class EventLoop:
    """Dispatches readiness; wakes early when told to."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sources: dict[int, Source] = {}
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, READ)
        self._again: list[Source] = []
        self.now_s = time.monotonic()

    def register(self, fd: int, source: Source, events: int) -> None:
        """Watch a descriptor."""
        self._epoll.register(fd, events)
        self._sources[fd] = source

    def modify(self, fd: int, events: int) -> None:
        """Change what a descriptor is watched for."""
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor, before it is closed."""
        if self._sources.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def again(self, source: Source) -> None:
        """Call a source in the next turn although its descriptor may stay silent (TLS holds data of its own)."""
        self._again.append(source)

    def wake(self) -> None:
        """End the wait; safe from signal handlers and other threads."""
        os.eventfd_write(self._wake_fd, 1)

    def poll(self, timeout_s: float) -> None:
        """Wait for readiness for at most so long, and dispatch it."""
        again, self._again = self._again, []
        ready = self._epoll.poll(0 if again else max(0.0, timeout_s))
        self.now_s = time.monotonic()
        for source in again:
            source.ready(READ)
        for fd, events in ready:
            if fd == self._wake_fd:
                os.eventfd_read(fd)
                continue
            source_of_fd = self._sources.get(fd)
            if source_of_fd is not None:
                source_of_fd.ready(events)
