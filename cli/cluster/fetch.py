"""`python -m cli.cluster.fetch URL COUNT`: fetches a URL on fresh connections and prints one JSON line per answer.

Run inside a node's namespace (by nsenter), it sees Services as a program on that node does.
"""

import json
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 2.0
BODY_MAX_BYTES = 4096


def fetch(url: str) -> dict[str, str]:
    """{"body": …} or {"error": …}."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return {"body": answer.read(BODY_MAX_BYTES).decode(errors="replace").strip()}
    except (urllib.error.URLError, OSError) as error:
        return {"error": str(error)}


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    for _ in range(count):
        print(json.dumps(fetch(url)), flush=True)


if __name__ == "__main__":
    main()
