"""What commands log, and where to."""

from __future__ import annotations

import logging

from rich.logging import RichHandler

from proxyconn.cli.output import printable, stderr

OWN_LOGGERS = (
    "proxyconn",
    "proxyconn_bluez",
    "proxyconn_cluster",
    "proxyconn_esphome",
    "proxyconn_native_api",
    "proxyconn_owner",
    "proxyconn_virtual",
    "proxyconn_web",
)
USED_LOGGERS = ("aioesphomeapi", "zeroconf")

NEVER = logging.CRITICAL + 1
"""A level that nothing is logged at."""


def set_up_logging(*, verbose: int, lasting: bool = False) -> None:
    """Log to stderr what asks for attention, and more if wanted.

    Args:
        verbose: 1 for everything of ours, 2 for that of the libraries used as well.
        lasting: whether the command runs on by itself: nobody else says what it warns of.
    """
    logging.basicConfig(level=logging.ERROR, handlers=[_log_handler()])
    for name in USED_LOGGERS:
        # zeroconf has its own, and warns, with tracebacks, of interfaces that it does without.
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in OWN_LOGGERS if lasting else ():
        logging.getLogger(name).setLevel(logging.WARNING)
    wanted = (OWN_LOGGERS if verbose else ()) + (USED_LOGGERS if verbose > 1 else ())
    for name in wanted:
        logging.getLogger(name).setLevel(logging.DEBUG)


def set_up_logging_apart(*, verbose: int) -> None:
    """Log as `set_up_logging`, but leave the root logger to a program that runs in this process.

    Args:
        verbose: as in `set_up_logging`; 0 for our own errors only, which go where the program's go.
    """
    for name in USED_LOGGERS:
        logging.getLogger(name).setLevel(NEVER)
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    handler = _log_handler()
    for name in (OWN_LOGGERS if verbose else ()) + (USED_LOGGERS if verbose > 1 else ()):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        logger.propagate = False


class _PlainFormatter(logging.Formatter):
    """Lets nothing in a record steer the terminal: what strangers call themselves is logged too."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        return "\n".join(map(printable, super().format(record).split("\n")))


def _log_handler() -> logging.Handler:
    console = stderr()
    if console.is_terminal:
        handler: logging.Handler = RichHandler(
            console=console, show_path=False, log_time_format="%H:%M:%S.%f"
        )
        handler.setFormatter(_PlainFormatter("%(name)s: %(message)s"))
        return handler
    # A file has no width to wrap at.
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler
