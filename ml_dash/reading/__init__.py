"""Rooms behind `history.py`: from the journal to what people look at.

listing summary moments                    which experiments there are, and which event was the last at a time
lineage replay settled                     the commits of an experiment and of what it was forked from; their state
merging origins                            journals of several machines as one
points point_columns typed_columns track_columns          what state does not hold: points, entries, lines
column_exports                             columns for NumPy, pandas, Polars, Arrow
run_view stream_views                      the answer of `ml_dash.load`
as_of as_of_rows                           several metrics and tracks as one table
diff audit                                 what differs; who did what, commit by commit
following unread watching trend            a run while it goes on
sources bringing pulling                   experiments on a server
saved_content                              the content of saved files, wherever it stands
"""
