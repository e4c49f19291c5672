"""The version that `/version` tells: the API level served, and whose server this is."""

import msgspec

from master.apiserver.responses import Response

GIT_VERSION = "v1.36.0+timonier"


def version() -> Response:
    return Response(
        msgspec.json.encode(
            {
                "major": "1",
                "minor": "36",
                "gitVersion": GIT_VERSION,
                "gitCommit": "",
                "gitTreeState": "clean",
                "buildDate": "1970-01-01T00:00:00Z",
                "goVersion": "",
                "compiler": "",
                "platform": "linux/amd64",
            }
        )
    )
