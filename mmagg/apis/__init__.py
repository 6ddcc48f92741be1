"""What the command-line tools call. Import the modules by name: this package itself imports nothing heavy."""
