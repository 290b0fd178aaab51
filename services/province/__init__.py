"""The provincial social office: it acknowledges arrivals, houses, prepares, and brings home."""
