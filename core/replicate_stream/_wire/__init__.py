"""How it travels: HTTP, event streams and the life of a prediction. Knows nothing of chat."""
