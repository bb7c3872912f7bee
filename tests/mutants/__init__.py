"""Mutation testing: one small change to the source at a time, and the question which test notices.

`python -m tests.mutants` runs it, `spec/mutants.md` says what came of it.  `mutations.py` makes the changes,
`plugin.py` runs the tests against them.  Nothing of it is part of the ordinary run.
"""
