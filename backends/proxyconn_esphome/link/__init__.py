"""One link to one device: opening it, its requests and replies, its end.

Here: `states.py` is the table of states; `link.py` has one request in flight at a time;
`opening.py` takes slot and turn; `gatt_operations.py` are the requests; `dispatch.py` finds the
link a message belongs to; `link_ends.py` decides what its end means. What a link needs of its proxy
is in `connecting_proxy.py`.
May import: `wire`, `codes`.
"""
