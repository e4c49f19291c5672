"""One plugin a file, named as in Kubernetes; each is pure: a pod and the table of nodes in, a mask or scores out."""
