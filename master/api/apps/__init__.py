"""The group apps/v1: workloads."""
