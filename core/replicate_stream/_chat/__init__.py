"""What is said: messages, parameters and answers, as pure values and functions without I/O."""
