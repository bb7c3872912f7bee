"""The journal: an append-only, hash-chained log of one experiment, on disk, for many writers at once.

format       the bytes of a header and of a commit: pure
chain        which lines of a segment are valid, and which bytes are torn or corrupt: pure
chart        which segments count, and how much of each: pure
batch        events on their way into the journal, and account of what became of them: pure
recovery     what to do with what was found, a decision table: pure
damage       bytes that do not replay: pure
disk         the one door to the operating system
lock         the one door to file locks
folder       where things stand in an experiment's folder
identity     which journal this is, where no header says it any more
seekable     the bytes of an archived segment: pure
segment_file a segment open for reading, archived or not
archive      sealed segments compressed, and plain again
redacted_lines  commits of which values were taken out
reader       commits in order, from any position, also while others write
survey       a whole journal, verified from its first byte to its last
appender     the end of the journal, under its lock: catch up, append, seal, sync
spool_file   one file that any thread adds rows to, without a lock
spool_files  where spool files come from and go to
spool_shapes which fields the rows of a spool have, by number
spool        what a writer has accepted and not yet committed
spool_cursor how far the committer has taken the events of a spool
drain        commits what dead writers had accepted
leftovers    the same for readers, also where nothing can be committed
bell         how threads wake and wait for the committer
held         what a thread records while it expects that nobody else writes
expecting    the part of a writer that knows which threads are held back
committer    the one thread of a process that moves events from spool to journal
writer       what an open experiment holds: record, flush, close; survives fork
checkpoint   the cached fold and what is known to be verified
contents     the content of saved files, by its hash
copying      bytes from file to file, in as few copies as the system allows
"""
