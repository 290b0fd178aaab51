"""The two kinds of office, and the command that runs them."""
