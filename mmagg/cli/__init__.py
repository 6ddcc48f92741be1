"""The commands, a file each: arguments, a call, printed results."""
