"""TensorRT plans for the GPUs of a cluster, built before a run needs them.

    ray job submit --working-dir . -- python jobs/build_plans.py default --backend tensorrt

In: an engine set that every node finds, backends. Out: one line a node, and plans in each node's plan cache.
Kinds of GPU nodes build beside each other, nodes of one kind one after another: where they share a cache
(FACECAP_BATCH_CACHE on common storage) only the first of a kind builds and the others find its plan. Nodes
that an autoscaler starts later are not asked. The exit code is 1 where a node could not build, or none has a
GPU.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from facecap_batch.engines.tensorrt.plans import CACHE_VARIABLE

_KIND = "accelerator_type:"  # Ray's prefix of the resource that names a node's GPU


def kinds(nodes: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The living nodes with a GPU, as `ray.nodes()` gives them: their ids by kind of GPU."""
    found: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        resources = node["Resources"]
        if node["Alive"] and resources.get("GPU", 0) > 0:
            named = (name for name in resources if name.startswith(_KIND))
            found[next(named, _KIND + "unknown").removeprefix(_KIND)].append(node["NodeID"])
    return dict(found)


def build(engines: str, backends: list[str]) -> tuple[bool, list[str]]:
    """On a node: build the plans. Returns whether all were built, and lines to print."""
    from facecap_batch.engines.registry import build_plans
    from facecap_batch.errors import FacecapError

    lines = []
    try:
        for plan in build_plans(engines, backends):
            what = "was there" if plan.existed else f"built in {plan.seconds:.0f} s"
            lines.append(f"{plan.engine} on {plan.backend}: {what}: {plan.path}")
    except FacecapError as error:
        return False, [*lines, str(error)]
    return True, lines


def build_everywhere(engines: str, backends: list[str]) -> bool:
    """Build on every GPU node of the connected cluster. True where there is one and all succeeded."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    shared = {CACHE_VARIABLE: os.environ[CACHE_VARIABLE]} if CACHE_VARIABLE in os.environ else {}
    # A whole GPU: TensorRT times kernels while it builds, and other work there would distort that.
    task = ray.remote(num_gpus=1, max_retries=0, runtime_env={"env_vars": shared})(build)
    left = kinds(ray.nodes())
    if not left:
        print("no node of this cluster has a GPU", file=sys.stderr)
    healthy = bool(left)
    while any(left.values()):
        round_of = [(kind, ids.pop()) for kind, ids in left.items() if ids]
        asked = [
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                engines, backends
            )
            for _, node in round_of
        ]
        for (kind, node), answer in zip(round_of, asked, strict=True):
            try:
                succeeded, lines = ray.get(answer)
            except ray.exceptions.RayError as error:
                succeeded, lines = False, [f"{type(error).__name__}: {error}"]
            healthy = healthy and succeeded
            for line in lines:
                print(f"{kind} {node[:8]}: {line}", flush=True)
    return healthy


def main(
    engines: Annotated[
        str, typer.Argument(help="an engine set's name, or its folder on every node")
    ] = "default",
    backend: Annotated[list[str] | None, typer.Option(help="again for more; default: tensorrt")] = None,
    ray_address: Annotated[str, typer.Option(help="the cluster")] = "auto",
) -> None:
    """Print a line for each node and engine."""
    from facecap_batch.scheduling.cluster import connected

    with connected(ray_address):
        healthy = build_everywhere(engines, backend or ["tensorrt"])
    raise typer.Exit(0 if healthy else 1)


if __name__ == "__main__":
    typer.run(main)
