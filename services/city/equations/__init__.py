"""What must add up at the city, derived from its events beside the read models."""
