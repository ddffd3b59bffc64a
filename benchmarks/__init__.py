"""The cost of a token, as a ratio to floors measured in the same run: `python -m benchmarks`.

A machine's speed drifts, so absolute times are not comparable between runs. All candidates are
measured in turn (A B C, A B C, …), and the ratio to the floor is the result.
"""
