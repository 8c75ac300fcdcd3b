"""The commands of `proxyconn`, by what they do: showing, acting on one device, running a program.

Here: one function for each command; what they print is made in `cli/display`, the fleet they use
is opened in `cli/fleet_session.py`, and the options they share are in `cli/options.py`.
May import: everything of `proxyconn`. A new command is registered in `cli/__init__.py`.
"""
