"""The city's papers: what stands in each, read from the log."""
