"""The bus: how owners and clients of a cluster speak to each other.

Here: `connection.py` is the connection to NATS; `dialling.py` makes one, `closing.py` ends it and
`cancelling.py` tasks that ask over it;
`credentials.py` has what proves who we are; `subjects.py` the name of every subject and bucket;
`messages.py` says what a message is, `refused.py` whose are of another version, `errors.py` what
goes wrong.
May import: `settings.py`; nats-py and msgspec.
Begin with `connection.py`.
"""
