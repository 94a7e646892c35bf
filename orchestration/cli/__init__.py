"""The command line: parse, call one function, print.

No logic of its own: what a verb does is a function of another package.
"""
