"""The emulator's HTTP server and its state."""
