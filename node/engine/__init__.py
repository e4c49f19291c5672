"""Container engines behind one seam: `base.py` is the contract, `docker.py` and `embedded/` fulfil it."""
