"""Checkers: pure judges over histories."""
