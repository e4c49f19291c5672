"""The group policy/v1: Eviction, the body of `pods/eviction`."""
