"""A replicated, revisioned key-value store: what one would otherwise take etcd for.

It knows keys and bytes, nothing of pods. Start with `protocol.py` (the values), then `mvcc.py` and `state.py`
(the replicated state machine: pure), `raft/` (agreement and durability, built on PySyncObj), `member.py`
(the process) and `client.py` (the asyncio client). It imports nothing else of this project.
"""
