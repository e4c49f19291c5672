"""Bodies of strangers as trees: JSON and YAML text with duplicate keys noticed, and trees judged against a Struct."""
