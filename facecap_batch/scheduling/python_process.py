"""Python processes that import what this one imports, whatever lies in the working directory.

In: code, or a function, and its arguments. Out: the command of a new interpreter with this one's import path,
or what the function returned there.

`python -c` and `python -m` look for modules in the working directory first, Ray's workers in that of their
driver. It may hold anything: footage of others, with a ``json.py`` among it.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from facecap_batch.errors import WorkerLost

Result = TypeVar("Result")

_ANSWER = "import sys; from facecap_batch.scheduling.python_process import answer; answer(*sys.argv[1:])"
# Nothing is imported before the path is set: `sys` is built in.
_TAKE_PATH = (
    "import sys; _end = 2 + int(sys.argv[1]); sys.path[:] = sys.argv[2:_end]; del sys.argv[1:_end], _end; "
)


def import_path() -> list[str]:
    """The folders and archives that this process imports from, in their order, as absolute paths.

    What `sys.path` names relative to the working directory is where it is now.
    """
    return [str(Path(entry).absolute()) for entry in sys.path]


def python_command(code: str, *arguments: str) -> list[str]:
    """The command of an interpreter that executes `code`.

    Args:
        code: Statements on one line.
        arguments: The code's `sys.argv[1:]`.
    """
    path = import_path()
    return [sys.executable, "-c", _TAKE_PATH + code, str(len(path)), *path, *arguments]


def call_in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function of a module in a process of its own, which ends then.

    Returns:
        What it returned.

    Raises:
        WorkerLost: The process died.
        Exception: What the function raised.
    """
    with tempfile.TemporaryDirectory(prefix="facecap-") as folder:
        call, answered = Path(folder) / "call", Path(folder) / "answer"
        call.write_bytes(pickle.dumps((function, arguments)))
        code = subprocess.run(python_command(_ANSWER, str(call), str(answered))).returncode
        if code:
            raise WorkerLost(f"the process that called {function.__name__} ended with {code}")
        result, error = pickle.loads(answered.read_bytes())
    if error is not None:
        raise error
    return cast(Result, result)


def answer(call: str, answered: str) -> None:
    """In the new process: call what the file `call` names, write how that ended to the file `answered`."""
    function, arguments = pickle.loads(Path(call).read_bytes())
    result, error = None, None
    try:
        result = function(*arguments)
    except Exception as raised:
        error = raised
    Path(answered).write_bytes(pickle.dumps((result, error)))
