"""Experiments in the formats of others: `ml_dash.export` and `ml_dash.import_from`.

`spec/exchange.md` says what maps to what.

exporting                                       which experiments go where, in which format
rows_of                                         points, entries and lines on their way out, a piece at a time
to_jsonl to_tables table_cells to_tensorboard   a format a file
importing sources                               what a source is, and what becomes of it
from_jsonl from_upstream from_tensorboard from_wandb      a format a file
event_lines upstream_files tensorboard_values wandb_records wandb_session row_joining   what those read, taken apart
bulk staging                                    events of given times into a journal, all of them or none
reports                                         what was carried over, counted, and what was not
"""
