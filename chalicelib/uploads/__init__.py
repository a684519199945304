"""Presigned uploads: a user without AWS credentials puts a script and a dataset into a place of their own."""
