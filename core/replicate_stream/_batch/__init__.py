"""Many requests: a journal of what was paid, and the answers as they end."""
