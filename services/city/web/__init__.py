"""The city's faces: what staff send, and what they read."""
