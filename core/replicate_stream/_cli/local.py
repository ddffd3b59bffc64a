"""The emulator with the local model behind it, for `demo` and `serve`."""

from __future__ import annotations

from replicate_stream.testing import Emulator


def emulator_with_local_model(
    *, host: str = "127.0.0.1", port: int = 0, one_port: bool = False
) -> Emulator:
    """An emulator, not started, that answers with SmolLM2.

    Raises:
        ImportError: The engine or the weights are missing; it says how to install them.
    """
    from replicate_stream.testing.local_model import INPUT_SCHEMA, MODEL, LocalModel

    emulator = Emulator(LocalModel(), host=host, port=port, one_port=one_port)
    emulator.add_model(MODEL, INPUT_SCHEMA, official=True)
    return emulator
