"""The contract: every API type, its defaults, validation and table row, and the scheme that knows them all.

Pure data and pure functions; imports nothing of ours. Start at `scheme.py` (what is served), then one kind, such as
`core/configmap.py` (everything about a kind stands in its module), then `decode.py` (how a client's body becomes one).
"""
