"""Agreement and durability: Raft on PySyncObj's frame, with its own log, snapshots and transport.

`core.py` is the place to start; `seams.py` says what it needs from the world.
"""
