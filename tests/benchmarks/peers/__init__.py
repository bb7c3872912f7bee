"""The tools of today beside this one, in the same run: `python -m tests.benchmarks.peers [--rounds N] [--write]`.

__main__       takes turns between them, prints the table
roster         who they are, how each is used, how many points each is given
environments   a virtual environment for each, in a cache: none of them is anything that this project needs
measuring      runs the driver: recorded, read back, killed, four at once
tables         what was measured becomes rows, with ratios to ours
drivers/       what runs in a peer's own Python: one script for all, a file for each, standing on nothing of ours
"""
