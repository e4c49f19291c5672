"""Validation that several kinds share: names, metadata, label selectors, pod specs. Pure; every error is collected."""
