"""The two HTTP servers of the emulator, and their shared state."""
