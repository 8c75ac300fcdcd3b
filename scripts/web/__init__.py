"""The web page in Chromium, on virtual proxies: whether it is as it should be, and what it costs.

`python -m scripts.web` tries every view and every fault; `python -m scripts.web.load` measures an
owner with a browser and without. `scripts/test-web` installs what they need.
"""
