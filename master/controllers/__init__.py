"""The controller manager: loops that drive what is towards what is wanted, each in one file of one shape.

A controller names what it watches and how an object becomes a key (`base.py`), gets one key at a time, computes a
plan in a pure function and applies it thinly. They meet in the API only. One process of all masters
leads (`process.py`); every write carries its epoch. Start reading at `base.py`, then `replication.py`.
May import `master.api` and `master.client` only.
"""
