"""Functions that numba compiles, with their types kept for the type checker.

Compiled code is cached beside the module. `fast` also lets the compiler reorder sums (``fastmath``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Decorator: compile `function`, which takes arrays and numbers."""
    return cast(Function, njit(cache=True)(function))


def fast(function: Function) -> Function:
    """Decorator: as `compiled`, for sums whose order does not matter."""
    return cast(Function, njit(cache=True, fastmath=True)(function))
