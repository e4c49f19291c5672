"""Deployments, split by concern: `revisions` (which ReplicaSet is which), `rolling`, `recreate`, `scaling` (pure
arithmetic: which ReplicaSet gets which size), `progress` and `status` (what is told), `controller` (the thin shell).
"""
