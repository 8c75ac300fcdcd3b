"""Writing the configuration for somebody who has none yet.

Here: `found_proxies.py` finds proxies and tries keys, `dialogue.py` asks for what is missing,
`configuration.py` makes the file of it and writes it.
May import: everything of `proxyconn` but the commands.
"""
