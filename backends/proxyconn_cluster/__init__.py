"""Beyond one machine: owners on several machines form one fleet, over NATS.

Here: `membership.py` is an owner as a member: `ownership/` whose each proxy is, `serving/` what it
does for others. `joined.py` and `backend.py` bring the others into a fleet: `members.py` who is
there, `device_locks.py` who has which device, `remote/` their radios as our own, `exchange/` what
is said. `bus/` is the connection to NATS; `fence.py` keeps an owner that was asleep from speaking
to what it has lost; `survey.py` and `command.py` show the cluster, `checks/` looks for what is
wrong with it;
`configuration.py` and `settings.py` are what is said about it; `joining.py` and `extra.py` are for
programs that may go without.
May import: the core. nats-py and msgspec are an extra: `pip install proxyconn[cluster]`.
Begin with `membership.py`, or with `joined.py`.
"""
