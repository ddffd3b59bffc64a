"""Settings of a property test that runs once for each of the families, of which there are 55."""

from hypothesis import settings

# The first prompt of a family compiles its patterns, which takes longer than the others.
for_each_family = settings(max_examples=max(1, settings().max_examples // 4), deadline=None)
