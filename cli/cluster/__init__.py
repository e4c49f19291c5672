"""The local cluster: masters and nodes as real hosts (network namespaces) on one Linux machine.

Start with `layout.py` (names, addresses, paths), then `fabric.py` (the network), `hosts.py` (power), `up.py`.
Nothing in the components knows that their hosts are namespaces: the same processes run on real machines.
"""
