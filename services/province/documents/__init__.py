"""The province's papers: what stands in each, read from the log."""
