"""Runs the command line: `python -m proxyconn` is the same as `proxyconn`."""

from proxyconn.cli import main

if __name__ == "__main__":
    main()
