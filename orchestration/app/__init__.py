"""``posegen app``: a page for designers, served on this machine alone.

What belongs here: the server, its sessions and its queue, and the page's files in ``static``. What is drawn is drawn by
`posegen.inference`, as the command line draws it.
"""
