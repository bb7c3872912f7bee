"""`ml-dash demo`: train a real model, kill it half-way, resume it, and count what was lost.

digits      the data set, which ships with the package
model       softmax regression in plain Python
training    the program that is killed: four processes, one experiment
play        runs it, kills it, runs it again
report      what is shown of the journal afterwards
"""
