"""Files and images, read as data and written whole or not at all, and the error for input that cannot be used."""
