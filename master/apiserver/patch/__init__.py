"""The four kinds of PATCH as pure functions from tree to tree. Nothing here changes its arguments."""
