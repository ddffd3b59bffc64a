"""Transport: HTTP, event streams, and the life of a prediction."""
