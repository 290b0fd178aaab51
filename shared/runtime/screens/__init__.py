"""Screens: what staff see and fill in. Each shows what a read gives, and sends what commands take.

A form on a screen goes the way of the API's command: the same form, plan, roles and idempotency
key, drawn when the page was made, so that sending it twice changes nothing. Everything works
without JavaScript.
"""
