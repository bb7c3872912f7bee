"""Remote mode: the same journal, shipped.

transport    the one door to the network
backoff      how long to wait before the network is tried again: pure
"""
