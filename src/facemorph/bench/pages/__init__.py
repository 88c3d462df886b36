"""Benchmarks of the pages in the browser."""
