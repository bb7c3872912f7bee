"""Code as users of the PyPI package `ml-dash` write it, run here unchanged.

What that package does was observed from outside; nothing of it is needed to run these tests.
"""
