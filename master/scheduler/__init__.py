"""Assigns pods to nodes: a client of the API like any other, of which one at a time is active.

Read `framework.py` for how a decision is made (pure), `queue.py` for which pod comes next (pure), `scheduler.py` for
the loop around both. May import `master.api` and `master.client`.
"""
