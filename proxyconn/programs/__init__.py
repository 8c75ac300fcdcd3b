"""Other people's bleak programs on a fleet: installing it under bleak, and running them.

Here: `install.py` is the one place where something of bleak is replaced; client and scanner of
such programs; crossing from their event loops to the fleet's; finding and starting a program.
May import: `fleet` and below.
Begin with `install.py`.
"""
