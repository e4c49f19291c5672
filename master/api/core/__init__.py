"""The core group (v1): pods, nodes, services and what they need."""
