"""The scheduler's loop is tested against the same tiny API server as the client."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))
sys.path.insert(0, str(Path(__file__).parents[1] / "apiserver"))
