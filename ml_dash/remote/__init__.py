"""Remote mode: the same journal, shipped.

protocol     paths, headers, limits, and what both sides call things: pure
transport    the one door to the network
backoff      how long to wait before the network is tried again: pure
"""
