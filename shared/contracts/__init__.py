"""The published language: what offices send each other, and the values in it."""
