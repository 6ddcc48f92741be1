"""One file a command: arguments, a call, what is printed."""
