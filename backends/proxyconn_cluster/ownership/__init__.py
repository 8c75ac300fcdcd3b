"""Whose each proxy is: leases in JetStream's key-value store, one owner a proxy.

Here: `lease_keeper.py` has the leases of one owner, and is what its fleet asks; `taking.py` is when
one may be taken, and why no two owners send; `lease_store.py` is how they are taken, renewed and
given back, `held_leases.py` which are ours by our own clock; `heartbeats.py` says that we live and
what we see, `observed.py` has what is known of the others; `deciding.py` and
`placement.py` say whose a proxy should be, and `out_of_reach.py` what is left to others;
`succession.py` proves that a run of ours before is gone, `unrenewed.py` knows what the store keeps
for too long; `records.py` is what is written down; `clock.py` goes on while they sleep.
May import: `bus/`, `fence.py`, `settings.py`, the core's tenure.
Begin with `lease_keeper.py`.
"""
