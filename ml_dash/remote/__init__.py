"""Remote mode: the same journal, shipped.

protocol     paths, headers, limits, and what both sides call things: pure
address      which addresses are taken, and which a token may travel to: pure
transport    the one door to the network
refusals     what a server refuses, as errors of ours: pure
server       the protocol's verbs, as typed calls
credentials  the one door to the keychain: which token belongs to which server
logging_in   the device flow, from the device's side
backoff      how long to wait before the network is tried again: pure
batches      which bytes the server lacks, and how many to send at a time: pure
local_bytes  the bytes of a journal here that may travel: raw, whole, valid, durable
compression  how batches are compressed on their way: pure
blobs        the content of saved files on its way, in parts
shipment     one journal on its way to one server, a step at a time
shipper      the thread that takes these steps while an experiment is recorded
cursor       the hint of how far that has come
arrival      whether what stands here has arrived, by that hint
mending      a journal that has lost its end, given it back by the server
mirror       journals of a server, brought to where local code reads them
state_folder journals that wait here for their server, and go when they have arrived
"""
