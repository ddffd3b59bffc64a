"""Tools for models that have no input for them: told in the prompt, read out of the answer."""
