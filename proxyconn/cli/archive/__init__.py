"""All that helps somebody else to see what is wrong, in one file without secrets.

Here: `contents.py` gathers it, `redaction.py` takes out what is nobody's business, `zip_file.py`
writes it.
May import: everything of `proxyconn` but the commands.
"""
