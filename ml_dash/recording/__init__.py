"""Rooms behind `params.py`, `logs.py`, `metrics.py`, `files.py` and `tracks.py`, and what is done to what is recorded.

param_forms                                anything that holds parameters → flat dotted keys
log_handler output_capture output_streams output_lines    what a program says
metric_buffers aggregations metric_reports timestamps     points that wait, and their statistics
system_metrics                             figures of the machine, as metrics
file_*                                     names, kinds, media, saving and finding of files
track_formats                              rows of a track as files of other programs
correcting redacting redaction_places remarks      what is said later about events that were recorded
archiving                                  segments compressed, and plain again
extras                                     optional libraries, named when they are missing
"""
