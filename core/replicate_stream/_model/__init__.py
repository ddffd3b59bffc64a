"""Knowledge of models: their inputs, their families, their limits. Pure."""
