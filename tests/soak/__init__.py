"""A soak: everything at once, for as long as wanted, and all of it compared at the end.

    python -m tests.soak --minutes 10 --seed 7 --writers 6

conductor   what happens next: its choices follow from the seed, only their moments do not
processes   forks, kills, reaps and measures those below
recording   all that a writer can do, by its odds
life        a writer: opens an experiment, records everything there is, forks, ends in one of many ways or is killed
keeper      archives, redacts and ships what others record, and is killed amidst
watcher     follows a journal while it is written, here or on the server
spot        looks at one thing and ends: the past, a list, what dead writers left, the server's copy, an export
faults      the server, killed, stopped for seconds and away; a disk that is full for a while

ledger      what had returned, noted by each writer beside everything of ours, in memory that survives kill -9
account     reads events and finds what no journal may hold: a gap, a repetition, a changed value, another order
model       statuses and attempts again, by plain loops over the events
ending      compares all: ledgers, journals, copies, archives, files left over, processes left behind
report      what was done, how often, and what was wrong

Every event carries the number of its life and its own number there, so that the events say themselves which are
missing.  A violation is a line in `violations.jsonl` of the kept folder.
"""
