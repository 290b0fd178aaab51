"""The province's faces: what staff send, and what they read."""
