"""One owner, many programs: `proxyconn serve` lends a fleet as ESPHome Bluetooth proxies.

Here: `service.py` is the owner's life; `serving/` the proxies as clients see them; `settings.py`
what is served, to whom and where; `mirroring.py` radios one by one; `announcing.py` names in mDNS;
`identity.py` what outlives a restart; `supervision.py` what systemd and SIGHUP want; `ending.py`
what other signals do; `command.py` the command.
May import: the core, `proxyconn_native_api`, `proxyconn_proto`; no radio.
Begin with `service.py`.
"""
