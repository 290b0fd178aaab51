"""A deterministic simulation of one city and three provinces that exchange messages under faults.

Real are the deciders, reactors, publishers, routes' plans, sealing, Handling, the store's appender
with its group commit and guards, Relay, Inbox, and the frames. Stood in for are PostgreSQL (by
dictionaries with the same guards and constraints), Redis (by lists with a stream's semantics), the
worker's loops (in the manner of `shared.runtime.worker`), clocks, threads and chance: all of it
comes from one seed, so that a seed that fails fails again. Projectors are outside: they are SQL.

`make simulate SEEDS=2000` tries seeds; `make simulate SEED=17` prints one's trace.
"""
