"""Building blocks for those who write an adapter for a framework.

Public, but outside of the package's `__all__`: users of an adapter need none of it. The adapters
of this distribution use these names and the package's public ones, and nothing else of the core.
"""

from __future__ import annotations

from replicate_stream._settings import without_secrets
from replicate_stream._sync import iterate_blocking, run_blocking
from replicate_stream._types.parameters import PARAMETERS, Parameter

__all__ = ["PARAMETERS", "Parameter", "iterate_blocking", "run_blocking", "without_secrets"]
