"""What a token costs, beside the floors of the same run. `python -m benchmarks`.

The machine's speed drifts, so nothing is quoted as a time: every row is a ratio to a floor that was
measured in turn with it.
"""
