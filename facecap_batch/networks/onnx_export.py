"""Torch engines to ONNX files with cards.

In: a module that takes one uint8 image batch. Out: an ONNX file with a free batch axis and weights inside,
and the card beside it. This module imports torch.
"""

from __future__ import annotations

import dataclasses
import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from facecap_batch.engines.cards import EngineCard, write_card
from facecap_batch.storage import published

OPSET = 18


def export_onnx(module: nn.Module, card: EngineCard, folder: Path) -> EngineCard:
    """Publish `module` as `folder`/`card.file` and `card`, its hash filled in, beside it; return it."""
    module = module.eval()
    spec = card.input
    sample = torch.randint(0, 255, (2, *map(int, spec.shape[1:])), dtype=torch.uint8)
    with published(folder / card.file) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            module,
            (sample,),
            str(temporary),
            input_names=[spec.name],
            output_names=list(card.outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=4096)},),
            verbose=False,
        )
    return write_card(
        dataclasses.replace(card, folder=folder), folder / Path(card.file).with_suffix(".json").name
    )
