"""Benchmarks that anyone can run again; none of them is part of the tests."""
