"""Files and images in and out, whole or not at all, and the error that says what of it cannot be used."""
