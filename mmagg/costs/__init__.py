"""Multiply-adds, parameters, time and memory, and the plain forms that they are compared with."""
