"""Measurements, reported as ratios against raw baselines of the same run: `python -m tests.benchmarks`."""
