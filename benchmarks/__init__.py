"""Measurements, each one command: ``python -m benchmarks.NAME``. Results lie in ``benchmarks/results``."""
