"""The write path: spool, committer, writer, drain and lock, with real files, processes and kills."""
