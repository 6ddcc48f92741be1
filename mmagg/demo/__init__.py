"""The whole way on generated scenes."""
