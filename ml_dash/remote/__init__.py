"""Remote mode: the same journal, shipped.

protocol     paths, headers, limits, and what both sides call things: pure
transport    the one door to the network
server       the protocol's verbs, as typed calls
credentials  the one door to the keychain: which token belongs to which server
logging_in   the device flow, from the device's side
backoff      how long to wait before the network is tried again: pure
"""
