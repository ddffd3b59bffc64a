"""A conversation into a model's input. Pure."""
