"""The bus: how owners and clients of a cluster speak to each other.

Here: `connection.py` is the connection to NATS; `credentials.py` what proves who we are;
`subjects.py` has the name of every subject and bucket; `messages.py` what a message is.
May import: `settings.py`; nats-py and msgspec.
Begin with `connection.py`.
"""
