"""Networks that learnt less than they hold now: weights that were kept go on in a network with more modules.

In: a network and weights of one like it. Out: weights that it can load.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional


class Grafted(nn.Module):
    """Part of a network that kept weights may lack."""


def grown(network: nn.Module, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Weights for `network`, and how many grafted modules it has that `weights` lacks: these are its
    own. A linear layer that sees more than it did, behind that, is blind to it at first.

    Where anything else does not fit, `load_state_dict` says so of what is returned.
    """
    own, found, added = network.state_dict(), dict(weights), 0
    for name, module in network.named_modules():
        if isinstance(module, Grafted) and not any(key.startswith(f"{name}.") for key in weights):
            found |= {key: value for key, value in own.items() if key.startswith(f"{name}.")}
            added += 1
        if isinstance(module, nn.Linear) and f"{name}.weight" in weights:
            known = weights[f"{name}.weight"]
            more = module.in_features - known.shape[1]
            found[f"{name}.weight"] = functional.pad(known, (0, max(more, 0)))
    return found, added
