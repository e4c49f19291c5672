"""The chaos laboratory: faults with names, load that remembers every answer, checkers that judge, and scenarios."""
