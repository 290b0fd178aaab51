"""The province's decisions, one aggregate a file: events, state, evolve, commands, decide."""
