"""Text of an answer into events. Pure."""
