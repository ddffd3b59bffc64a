"""What a token costs, beside the floors of the same run: `python -m benchmarks`.

The machine's speed drifts, so no time is worth quoting by itself: whatever is compared is measured
in turn (A B C, A B C, …), and its ratio to the floor is what counts.
"""
