"""Figures, each beside a raw baseline of the same run: `python -m tests.benchmarks [--part NAME] [--quick] [--write]`.

__main__    takes turns between us and the baselines, prints the tables
page        puts tables into spec/performance.md, each between marks of its own, the others left as they are
rows        what is measured, its target, and what it is a ratio of; past_rows those of reading back, shipping_rows
            those of remote mode
measures    one measurement, in a process of its own: `python -m tests.benchmarks.measures NAME FOLDER`
past        those of reading back
shipping    those of remote mode, with the servers of `loopback`; `many_clients` is a measurement by itself
journals    what they read
baselines   the same work without ml_dash
peers/      the tools of today beside this one: `python -m tests.benchmarks.peers`
growth/     the same at sizes ten times apart: `python -m tests.benchmarks.growth`
clockwork   percentiles, pacing, memory
"""
