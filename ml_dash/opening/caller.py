"""The user's script: what a default prefix is named after.

 1. The script that Python was started with, also by `python -m`, a debugger or in a spawned worker.
 2. Where that is a tool (pytest, a console script, a notebook's kernel): the notebook, if it can be known; else the
    innermost calling file that is the user's.
 3. Where there is none, a word: `notebook` or `interactive`.

A file is the user's if it is neither ours, nor Python's, nor an installed package's.
"""

from __future__ import annotations

import os
import sys
from types import FrameType

INTERACTIVE = "interactive"
NOTEBOOK = "notebook"
_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PYTHON_FOLDER = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def user_script() -> str:
    """The absolute path of the user's script, or `interactive` or `notebook`."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if isinstance(path, str) and _is_users(path):
        return os.path.abspath(path)
    return _notebook(main) or _calling_file(sys._getframe(1)) or (NOTEBOOK if _in_kernel() else INTERACTIVE)


def _is_users(path: str) -> bool:
    if not os.path.isfile(path):
        # `<string>`, a notebook's cell, or a relative path in a working folder that is gone.
        return False
    path = os.path.abspath(path)
    if path.startswith((_OWN_FOLDER, _PYTHON_FOLDER)) or any(part in path for part in _INSTALLED):
        return False
    # Console scripts of installed packages stand beside Python.
    return os.path.dirname(path) != os.path.dirname(sys.executable)


def _notebook(main: object) -> str | None:
    """VS Code and Jupyter say which notebook a kernel belongs to; others do not."""
    if not _in_kernel():
        return None
    path = getattr(main, "__vsc_ipynb_file__", None) or os.environ.get("JPY_SESSION_NAME")
    return os.path.abspath(path) if isinstance(path, str) and path.endswith(".ipynb") else None


def _in_kernel() -> bool:
    return "ipykernel" in sys.modules or "google.colab" in sys.modules


def _calling_file(frame: FrameType | None) -> str | None:
    while frame is not None:
        path = frame.f_code.co_filename
        if _is_users(path):
            return os.path.abspath(path)
        frame = frame.f_back
    return None
