"""What happened, and its bytes: events, the value policy, rows of a spool, blocks of a commit.  Pure: no I/O.

events                                     every type of event, by its permanent name
values value_forms value_leaves            any Python value ↔ plain JSON and tags
rows                                       one accepted event ↔ one line of a spool
codec blocks columns number_bytes          many events ↔ the `events` of a commit
"""
