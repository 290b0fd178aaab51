"""Chaos: real offices under a steady load, broken on purpose, that must come out of it in sync.

`python -m tests.chaos --rounds N --seed S`, or `make chaos ROUNDS=N`. Too slow for the ordinary
run of tests; of this package pytest collects the checker's own specs alone.
"""
