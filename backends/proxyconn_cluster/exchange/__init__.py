"""What owners and clients tell each other, as messages, and both ways between them and the core.

Here: `status.py` says who is there, with which radios; `offers.py` what a link would be worth;
`link_messages.py` what is asked over a link; `failures.py` errors; `services.py` GATT tables;
`heard.py` advertisements; `interest.py` who wants which of them.
May import: `bus/messages.py`, the core, `proxyconn_native_api`, `proxyconn_proto`.
Begin with `status.py`.
"""
