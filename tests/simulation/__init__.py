"""A deterministic simulation of one city and three provinces that exchange messages under faults.

Real are the deciders, reactors, publishers, routes' plans, sealing, handling, store, link tables,
projector, relay, inbox, the worker's loops, what an operator does with parked messages, and the
frames with their signatures and seals. Stood in for are PostgreSQL (dictionaries that answer the
kernel's statements, under the same guards and constraints), Redis (lists with a stream's
semantics), clocks, threads and chance: all of it comes from one seed, so that a seed that fails
fails again. The product's read models are outside: they are SQL.

`make simulate SEEDS=2000` tries seeds; `make simulate SEED=17` prints one's trace.
"""
