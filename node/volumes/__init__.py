"""The volumes of a pod, one kind a file: what they hold, where they lie on the node, how they come and go.

Start at `setup.py`. A module makes either a folder (`emptydir`, `hostpath`) or a payload of files (`configmap`,
`secret`, `downwardapi`, `projected`) that `atomicwriter` puts in place so that a reader sees all of an update or none.
"""
