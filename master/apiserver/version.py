"""The version that `/version` tells: the API level served, and whose server this is."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

GIT_VERSION = "v1.36.0+timonier"


async def version(_: Request) -> Response:
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
        ),
        media_type="application/json",
    )
