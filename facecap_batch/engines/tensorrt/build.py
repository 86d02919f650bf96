"""Building a plan: the card's network compiled by TensorRT for the GPU at hand.

In: a card, a precision, the `tensorrt` module, its logger. Out: the plan's bytes. One optimisation profile
for each batch size of the card, because those are the only batches ever run; TF32 off; memory for kernels
capped, because several workers share a GPU.
"""

from __future__ import annotations

from typing import Any

from facecap_batch.engines.backends.cuda import DeviceInfo
from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.tensorrt import plans, versions
from facecap_batch.engines.tensorrt.graph import Graph, prepared, profile_shapes
from facecap_batch.engines.tensorrt.plans import PlanKey
from facecap_batch.errors import BackendUnavailable

# Scratch memory that a kernel may ask for. Networks of a few megabytes never want more, and each context of
# each worker on the GPU may take as much.
WORKSPACE_BYTES = 512 << 20


def plan_key(card: EngineCard, precision: str, trt: Any, device: DeviceInfo) -> PlanKey:
    """What a plan of `card` on this machine depends on."""
    return PlanKey(
        onnx_sha256=card.sha256,
        tensorrt=str(trt.__version__),
        gpu=device.name,
        compute_capability=device.compute_capability,
        precision=precision,
        input=card.input.name,
        profiles=profile_shapes(card),
        workspace_bytes=WORKSPACE_BYTES,
    )


def build_plan(card: EngineCard, key: PlanKey, trt: Any, logger: Any) -> bytes:
    """Compile; takes from seconds to minutes.

    Raises BackendUnavailable where TensorRT cannot run this network, or not in this precision; EngineMismatch
    and EngineError where the file is not what the card says.
    """
    graph = prepared(card)
    _check_precision(card, key.precision, graph)
    builder = versions.start(trt, "Builder", logger)
    network = builder.create_network(versions.network_flags(trt, key.precision))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph.model):
        errors = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise BackendUnavailable(
            f"engine {card.name!r}: TensorRT {key.tensorrt} does not read {card.path}: "
            f"{errors or versions.reason(logger)}; use onnxruntime-cuda for it, or a newer TensorRT"
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, key.workspace_bytes)
    versions.set_precision(trt, config, key.precision, graph.quantised)
    for least, usual, largest in key.profiles:
        profile = builder.create_optimization_profile()
        profile.set_shape(key.input, least, usual, largest)
        config.add_optimization_profile(profile)
    # None for timings that it cannot read: then it measures all kernels anew.
    cache = config.create_timing_cache(plans.timings(key)) or config.create_timing_cache(b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendUnavailable(
            f"engine {card.name!r}: TensorRT {key.tensorrt} cannot compile {card.path}: "
            f"{versions.reason(logger)}; use onnxruntime-cuda for it, or a newer TensorRT"
        )
    plans.keep_timings(key, bytes(memoryview(cache.serialize())))
    return bytes(memoryview(plan))


def _check_precision(card: EngineCard, precision: str, graph: Graph) -> None:
    if precision == "int8" and not graph.quantised:
        raise BackendUnavailable(
            f"backend tensorrt-int8: {card.file} of engine {card.name!r} carries no QuantizeLinear and "
            "DequantizeLinear nodes, and without them the ranges of its values are unknown; use an engine "
            "whose file was quantised, or tensorrt-fp16"
        )
    if graph.asymmetric:
        raise BackendUnavailable(
            f"backend tensorrt: {card.file} of engine {card.name!r} is quantised with zero points other "
            "than 0, which TensorRT does not compute; quantise it symmetrically to signed 8 bits"
        )
