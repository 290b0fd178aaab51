"""How fast the machinery is, beside the raw loop that one would write by hand.

Every figure stands next to a loop on the same PostgreSQL and Redis, in the same run, taken by
turns: a machine that is busy or slow is so for both, and the ratio is what stays comparable.
`make bench` prints the table; `docs/performance.md` keeps one and says what follows from it.
"""
