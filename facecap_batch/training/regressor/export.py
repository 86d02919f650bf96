"""The trained regressor as an engine: ONNX and card.

In: a `FaceRegressor` with its weights, held-out shards. Out: ``regressor.onnx`` and ``regressor.json`` in a
folder, the measured quality in the card.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
from torch import nn

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.cards import BATCH, EngineCard, InputSpec
from facecap_batch.engines.default_crop import CROP_SCALE
from facecap_batch.importing.networks.onnx_export import export_onnx
from facecap_batch.importing.published_weights import regressor_card
from facecap_batch.solve.eyelids import LIDS, gain_to_close
from facecap_batch.training.networks.face_regressor import FaceRegressor
from facecap_batch.training.regressor.quality import measure, predict
from facecap_batch.training.rendering.dataset import FaceShard

# How much less a channel moves than unseen people do stands in the card, up to this. Noise is stretched, too:
# a channel whose r is below KNOWN_R is stretched by so much less.
MAX_GAIN = 4.0
KNOWN_R = 0.5
# The lids' gain closes what a quarter of closed eyes is read below: the others are bent, and half of a blink
# is seldom meant.
SHUT_TRUTH = 0.9  # of a lid's label, from here on the eye is closed
SHUT_QUANTILE = 0.25
# A face whose strongest coefficient is below this is at rest. People differ there, and what three of four of
# them stay below is where a channel rests. Higher, weak movements of real faces are lost below it; lower,
# too many a resting face moves.
AT_REST = 0.1
REST_QUANTILE = 0.75


def export(
    network: FaceRegressor, heldout: list[FaceShard], folder: Path, runs: list[str], name: str
) -> EngineCard:
    """Publish `network` in `folder` and return its card.

    `heldout`: crops of people it was not trained on; `runs`: the commands that trained it, in order;
    `name`: the engine's.
    """
    network = rounded(network)
    qualities, nominal, moved, resting, shut = [], [], [], [], []
    for shard in heldout:
        outputs, points, _, _ = predict(network, shard)
        moved.append(outputs[:, : len(ARKIT_NAMES)].std(axis=0) / shard.coefficients.std(axis=0))
        resting.append(outputs[shard.coefficients.max(axis=1) < AT_REST, : len(ARKIT_NAMES)])
        lids = outputs[:, LIDS]
        shut.append(lids[shard.coefficients[:, LIDS] >= SHUT_TRUTH])
        qualities.append(measure(outputs, points, shard))
        nominal.append(np.median(shard.head[:, 3:], axis=0))
    u, v, s = np.mean(nominal, axis=0)
    per_channel = np.mean([quality.correlation for quality in qualities], axis=0)
    full = np.clip(1 / np.maximum(np.mean(moved, axis=0), 1e-3), 1.0, MAX_GAIN)
    gains = 1 + (full - 1) * np.clip(per_channel / KNOWN_R, 0, 1)
    at_rest = np.concatenate(resting)
    rest = np.quantile(at_rest, REST_QUANTILE, axis=0) if len(at_rest) else np.zeros(len(ARKIT_NAMES))
    closed = np.concatenate(shut)
    if len(closed):
        for lid in LIDS:
            gains[lid] = gain_to_close(float(np.quantile(closed, SHUT_QUANTILE)), float(rest[lid]))
    contract = regressor_card(name)
    card = dataclasses.replace(
        contract,
        licence="Apache-2.0",
        input=InputSpec(
            "crop", (BATCH, network.design.crop, network.design.crop, 3), mean=(127.5,) * 3, std=(127.5,) * 3
        ),
        outputs={**contract.outputs, "hidden": (BATCH, 3), "spread": (BATCH, len(ARKIT_NAMES))},
        postprocess={
            "crop_scale": CROP_SCALE,
            "presence_threshold": 0.5,
            # Where the head lies in a crop made from a perfect box.
            "nominal_u": round(float(u), 4),
            "nominal_v": round(float(v), 4),
            "nominal_s": round(float(s), 4),
        },
        gains={name: round(float(gain), 2) for name, gain in zip(ARKIT_NAMES, gains, strict=True)},
        rest={name: round(float(value), 3) for name, value in zip(ARKIT_NAMES, rest, strict=True)},
        architecture={"network": "FaceRegressor", "parameters": sum(p.numel() for p in network.parameters())},
        training={
            "data": "rendered people only: ICT-FaceKit (MIT), MakeHuman's head, shapes, skins and brows "
            "(CC0), takes of coefficients (MIT), procedures",
            "runs": runs,
        },
        quality={
            "heldout_crops": sum(len(shard.image) for shard in heldout),
            "heldout_mean_r": round(float(np.mean([quality.mean_r for quality in qualities])), 4),
            "heldout_rotation_degrees": round(float(np.mean([q.rotation_degrees for q in qualities])), 3),
            "heldout_landmarks_percent_of_eye_distance": round(
                float(np.mean([quality.points_percent for quality in qualities])), 2
            ),
            "heldout_r": {name: round(float(r), 3) for name, r in zip(ARKIT_NAMES, per_channel, strict=True)},
        },
    )
    return export_onnx(network, card, folder, half_matrices=True)


def rounded(network: FaceRegressor) -> FaceRegressor:
    """`network` with the matrices that the file holds as float16 rounded to it: what is measured is what is
    shipped."""
    result = copy.deepcopy(network)
    for layer in result.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = layer.weight.data.half().float()
    return result
