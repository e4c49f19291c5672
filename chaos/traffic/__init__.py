"""Load that remembers every call and answer in a history."""
