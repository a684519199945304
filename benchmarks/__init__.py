"""Measures what the documentation claims: `make bench`, or `python -m benchmarks NAME ...`."""
