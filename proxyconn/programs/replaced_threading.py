"""Programs that replace `threading` under threads that run already, as gevent's patch_all() does.

Those threads work on, and end well, but the interpreter's own bookkeeping of their end then fails,
and would be told on stderr as a defect of the program. It is none.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from types import CodeType

_GET_IDENT: Final = threading.get_ident
"""What threads that run before the program are known by."""


def keep_ends_of_threads_quiet() -> None:
    """Say nothing of threads that the interpreter no longer knows, if `threading` was replaced.

    For the end of a program: what it has not replaced stays as it is, and every other exception is
    told as it would be.
    """
    if threading.get_ident is not _GET_IDENT:
        sys.unraisablehook = _without_ends_of_threads(sys.unraisablehook)


def _without_ends_of_threads(
    show: Callable[[UnraisableHookArgs], object],
) -> Callable[[UnraisableHookArgs], None]:
    def hook(unraisable: UnraisableHookArgs) -> None:
        if not (isinstance(unraisable.exc_value, KeyError) and _is_in_threading(unraisable)):
            show(unraisable)

    return hook


def _is_in_threading(unraisable: UnraisableHookArgs) -> bool:
    """Whether an exception was raised by `threading` itself, not by what a thread has run."""
    trace = unraisable.exc_traceback
    code: CodeType | None = None
    while trace:
        code, trace = trace.tb_frame.f_code, trace.tb_next
    return code is not None and code.co_filename == threading.__file__
