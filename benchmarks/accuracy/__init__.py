"""Predictions scored against published measurements: `python -m benchmarks.accuracy TRUTH.csv`."""
