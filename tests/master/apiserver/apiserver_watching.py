"""A watch stream for tests: lines as they come, with a deadline."""

import json
from http.client import HTTPResponse
from types import TracebackType
from typing import Any, Self

from apiserver_harness import Caller


class Watch:
    def __init__(self, caller: Caller, path: str, accept: str = "application/json") -> None:
        self._connection = caller.connect()
        self._connection.request("GET", path, headers={"Accept": accept})
        self.response: HTTPResponse = self._connection.getresponse()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def next(self) -> Any:
        """The next event; None at the end of the stream. The connection's timeout is the deadline."""
        line = self.response.readline()
        return json.loads(line) if line else None

    def types_until(self, kind: str) -> list[tuple[str, str]]:
        """(type, name) of the events up to the first of this type."""
        found = []
        while True:
            event = self.next()
            assert event is not None, f"the stream ended before {kind}: {found}"
            found.append((event["type"], event["object"]["metadata"].get("name", "")))
            if event["type"] == kind:
                return found
