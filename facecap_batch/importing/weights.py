"""Weights files of other people, read without executing anything in them, and loaded into our networks.

In: a ``.pth``. Out: its state dict, plain names to tensors; and a network that holds it, or an error that
names every parameter that does not fit. Torch is imported when a file is read.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facecap_batch.errors import BackendUnavailable, EngineError, install_hint
from facecap_batch.importing.archives import require_bounded

if TYPE_CHECKING:
    from torch import Tensor, nn

NESTS = ("state_dict", "model_state_dict", "model", "net")  # where training scripts put the state dict
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
_MAX_NAMES = 6  # listed of each kind of misfit
_NO_WEIGHTS = "num_batches_tracked"  # of batch normalisation: a counter of training, absent in old files


def load_state(path: Path) -> dict[str, Tensor]:
    """The state dict in `path`, wherever common training scripts nest it, without their prefixes.

    Raises:
        EngineError: there is none, or reading the file would execute code.
        BackendUnavailable: torch is not installed.
    """
    if not path.is_file():
        raise EngineError(f"{path} is not there")
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailable(f"importing {path.name} needs torch: {install_hint('torch')}") from error
    require_bounded(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, key and runtime errors alike
        raise EngineError(_unreadable(path, str(error))) from error
    for nest in NESTS:
        if isinstance(state, dict) and isinstance(state.get(nest), dict):
            state = state[nest]
    if not isinstance(state, dict) or not state:
        raise EngineError(f"{path} holds no state dict: save the network's state_dict() with torch.save")
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise EngineError(f"{path} holds no state dict of tensors alone: save the network's state_dict()")
    return {_plain(name): value for name, value in state.items()}


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _unreadable(path: Path, reason: str) -> str:
    """Why `path` cannot be read. Torch's own message advises reading it unsafely: it is not passed on."""
    carried = re.search(r"GLOBAL ([\w.]+)", reason)
    if carried:
        return (
            f"{path} cannot be read safely: it carries {carried[1]}, and unpickling that would execute code; "
            f"have whoever made it save the network's state_dict() alone"
        )
    if "TorchScript" in reason:
        return f"{path} is a TorchScript program, which cannot be read safely: save its state_dict(), or ONNX"
    return f"{path} is not a weights file of torch that can be read safely, or is damaged"


def fit(network: nn.Module, state: dict[str, Tensor], path: Path, what: str) -> None:
    """Load `state` into `network`, every parameter.

    Args:
        network: the network to fill.
        state: parameters by name.
        path: where they come from, for the error.
        what: what they should be, for the error: "FaceBoxes weights".

    Raises:
        EngineError: names or shapes do not fit; it lists them.
    """
    wanted = _shapes(network.state_dict())
    given = _shapes(state)
    problems = []
    if missing := [name for name in wanted if name not in given]:
        problems.append(f"missing {_some(missing)}")
    if superfluous := [name for name in given if name not in wanted]:
        problems.append(f"superfluous {_some(superfluous)}")
    if other := [name for name in wanted if name in given and given[name] != wanted[name]]:
        shapes = [f"{name} {list(given[name])} for {list(wanted[name])}" for name in other]
        problems.append(f"of another shape {_some(shapes)}")
    if problems:
        raise EngineError(f"{path} does not hold {what}: " + "; ".join(problems))
    network.load_state_dict(state, strict=False)


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith(_NO_WEIGHTS)}


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
