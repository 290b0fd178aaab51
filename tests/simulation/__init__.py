"""The simulator: real offices on a database, a transport and a clock that a seed breaks.

Deciders, reactors, publishers, handling, store, outbox, link and inbox are the product's own. Only
what is below them is not: PostgreSQL, Redis and time. Read models are SQL, and outside of it.
"""
