"""Transport: HTTP, event streams, and the life cycle of a prediction."""
