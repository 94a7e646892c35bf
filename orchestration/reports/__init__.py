"""The papers' tables and figures, and the demo: scripts over the packages before this one.

Nothing else imports a report but the command line.
"""
