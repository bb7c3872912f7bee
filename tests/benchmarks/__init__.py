"""Figures, each beside a raw baseline of the same run: `python -m tests.benchmarks [--quick] [--write] [ROW…]`.

__main__    takes turns between us and the baselines, prints the table, writes it into spec/performance.md
rows        what is measured, its target, and what it is a ratio of
measures    one measurement, in a process of its own: `python -m tests.benchmarks.measures NAME FOLDER`
baselines   the same work without ml_dash
clockwork   percentiles, pacing, memory
"""
