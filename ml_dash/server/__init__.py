"""The server: journals and saved files of a team, verified before they are stored.

app              the application: `create_app(store)`; running, connections    a process that serves it
store            objects, created once; copies, pieces   what is stored of one journal; journals   of all, and adding
                 to them
compaction       many small objects into few; append    whether a batch goes on from where a journal ends: pure
blobs            content of saved files
dash_root        a folder of local journals, served as it is; library    what both kinds of journals can do
lines, following, reading    commits, event streams, state and columns
bodies, ranges, requests, problems    what HTTP asks for, checked, and how it is refused
journal_routes, reading_routes, blob_routes, account_routes    the addresses
authentication   who asks, and what they may do; accounts, tokens, device, limits, pages, guarding    how they got in
figures          for Prometheus; settings, service, bell    what they share
"""
