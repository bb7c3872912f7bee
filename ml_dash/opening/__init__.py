"""What it takes to open an experiment and to end it: `experiment.py` and `run.py` are the front of these rooms.

lifecycle decorator session failure interpreter_end     sessions: how they begin, how they end, what is recorded of it
rewinding forking                          a training that goes on from an earlier step, or from another one
shipping left_to_ship                      journals that go to a server
recorder disabled                          the one thing that params, logs, metrics, tracks and files hold
arguments old_names nearest templates place description     what was given, checked
known components companions                parts of an Experiment: asked, recorded through, working beside it
environment environment_variables caller secrets_mask     what is read of the process around it
"""
