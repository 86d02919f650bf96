"""Torch engines to ONNX files with cards.

In: a module that takes one uint8 image batch. Out: an ONNX file with a free batch axis (and free height and
width where the card's input has a step) and weights inside, and the card beside it. This module imports
torch.
"""

from __future__ import annotations

import dataclasses
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from facecap_batch.engines.cards import EngineCard, write_card
from facecap_batch.errors import EngineError
from facecap_batch.storage.publish import published

OPSET = 18


class ScaledPixels(nn.Module):
    """A network on normalised images with the normalisation in front: it takes uint8 [B, S, S, 3] RGB."""

    mean: Tensor
    scale: Tensor

    def __init__(
        self, network: nn.Module, mean: tuple[float, float, float], std: tuple[float, float, float]
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("scale", 1.0 / torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        outputs: Tensor = self.network((image.permute(0, 3, 1, 2).float() - self.mean) * self.scale)
        return outputs


def export_onnx(
    module: nn.Module, card: EngineCard, folder: Path, *, half_matrices: bool = False
) -> EngineCard:
    """Publish `module` as an ONNX file, and its card beside it.

    Args:
        module: takes one uint8 batch as `card.input` describes it and gives `card.outputs` in their order.
        card: its `file` names the ONNX file; its hash is filled in.
        folder: the set's folder.
        half_matrices: keep the matrices of linear layers as float16, which rounds them.

    Returns:
        The card as written.

    Raises:
        EngineError: the export fixed the batch size.
    """
    module = module.eval()
    spec = card.input
    item, free = [*map(int, spec.shape[1:])], {}
    if spec.step:
        item[1] -= spec.step  # height and width that differ are not taken for the same axis
        for axis, name in ((1, "rows"), (2, "columns")):
            free[axis] = spec.step * torch.export.Dim(name, min=1, max=spec.size // spec.step)
    sample = torch.randint(0, 255, (2, *item), dtype=torch.uint8)
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
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=4096), **free},),
            verbose=False,
        )
        _check_batch_axis(temporary, card.name)
        without_traces(temporary)
        if half_matrices:
            with_half_matrices(temporary)
    return write_card(
        dataclasses.replace(card, folder=folder), folder / Path(card.file).with_suffix(".json").name
    )


def without_traces(path: Path) -> None:
    """Rewrite an ONNX file without the notes that the exporter leaves at every node: they hold the paths of
    the machine that exported it, and make the same network another file on each.
    """
    model = onnx.load(str(path))
    for entry in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del entry.metadata_props[:]
        entry.doc_string = ""
    onnx.save(model, str(path))


def with_half_matrices(path: Path) -> None:
    """Rewrite an ONNX file with the matrices of its linear layers as float16, turned into float32 when the
    engine opens: half the bytes, the same time. Convolutions stay as they are, for TensorRT wants their
    weights as they stand in the file.
    """
    model = onnx.load(str(path))
    graph = model.graph
    weights = {entry.name: entry for entry in graph.initializer}
    used = {node.input[1] for node in graph.node if node.op_type == "Gemm"} & weights.keys()
    casts = []
    for name in sorted(used):
        matrix = onnx.numpy_helper.to_array(weights[name])
        if matrix.dtype != np.float32:
            continue
        kept = f"{name}.half"
        weights[name].CopyFrom(onnx.numpy_helper.from_array(matrix.astype(np.float16), kept))
        casts.append(onnx.helper.make_node("Cast", [kept], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, str(path))


def _check_batch_axis(path: Path, name: str) -> None:
    """The exporter turns a batch axis that it cannot follow silently into the sample's size."""
    graph = onnx.load(str(path), load_external_data=False).graph
    fixed = [
        entry.name
        for entry in (*graph.input, *graph.output)
        if not entry.type.tensor_type.shape.dim[0].dim_param
    ]
    if fixed:
        raise EngineError(
            f"engine {name!r}: the export fixed the batch size of {', '.join(fixed)}: forward() counts "
            "the items of a batch (Tensor.chunk and split over axis 0 do; x[: len(a)], x[len(a) :] do not)"
        )
