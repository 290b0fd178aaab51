"""The province's read models, each beside its queries."""
