"""Rooms behind `history.py`: from the journal to what people look at.

replay                                     state, and only what is new when asked again
points point_columns typed_columns         what state does not hold: points, entries, lines
column_exports                             columns for NumPy, pandas, Polars, Arrow
run_view stream_views                      the answer of `ml_dash.load`
listing                                    which experiments there are
"""
