"""Every parser that meets bytes from outside, fed with what nobody meant to send.

`targets` holds them, `test_parsers` tries them on each run, and `python -m tests.fuzz TARGET
SECONDS` looks for longer, guided by which lines of the parser were reached.
"""
