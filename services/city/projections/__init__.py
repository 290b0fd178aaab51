"""The city's read models, each beside its queries."""
