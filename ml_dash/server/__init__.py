"""The server: journals and saved files of a team, verified before they are stored.

authentication   who asks, and what they may do
problems         what is answered when something is wrong
"""
