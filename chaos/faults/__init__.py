"""Faults: named objects that are armed, disarmed and described."""
