"""The server: journals and saved files of a team, verified before they are stored.

running         a process that listens; connections   which begin in time; app   the application in it
guarding        what every request passes; requests, bodies, ranges   what it says; problems   how it is refused

journal_routes, reading_routes, blob_routes, account_routes   the addresses; service, settings, bell   what they share

append          whether a batch goes on from where a journal ends: pure
journals        the journals of all experiments, and adding to them; redacting   their redacted lines
copies          what is stored of one journal; pieces   its objects; compaction   many small ones into few
blobs           content of saved files
store           objects, created once; store_folder   in a directory

library         what can be read, wherever it is kept; dash_root   a folder of local journals, served as it is
reading, cache  state, columns and summaries; lines, following   commits, and streams of them; figures   for Prometheus

authentication  who asks, and what they may do
accounts, tokens, device, pages, limits   how they got in
"""
