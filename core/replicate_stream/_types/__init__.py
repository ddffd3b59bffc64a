"""Values that cross the rooms: messages, predictions, and all that is asked for."""
