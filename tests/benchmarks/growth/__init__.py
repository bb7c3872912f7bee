"""How cost grows: `python -m tests.benchmarks.growth [--rounds N] [--part NAME] [--write]`.

__main__   makes what is read, takes turns between the sizes, prints three tables
measures   one measurement, in a process of its own: of a history, of several writers, of many experiments
fit        the curve through what was measured, and what it says of a size that nobody has run; pure
tables     what was measured becomes rows, each with how it grows
"""
