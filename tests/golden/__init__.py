"""Journals of every released format version, and what they replay to (promise P7)."""
