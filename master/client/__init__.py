"""How every component talks to the masters: typed requests with failover, cached watches, queues, leadership.

Start reading at `rest.py`. May import `master.api` only; everything here is a client like any other.
"""
