"""The `timonier` command: the user's kubectl, and the cluster's own verbs.

One module a verb; `app.py` puts them together, `verb.py` gives each its session and turns errors into exit codes.
"""
