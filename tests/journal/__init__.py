"""The journal's engine, from its bytes to a disk that fails: one claim a test."""
