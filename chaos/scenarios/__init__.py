"""Scenarios: a cluster, a load, a fault, and a verdict."""
