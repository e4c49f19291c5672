"""Pod networks behind one seam: `base.py` is the contract, `bridge.py` is built in, `cni.py` runs CNI plugins."""
