"""What Ray's errors say about the end of a worker.

In: an error that Ray raised for an actor, or the id of a node. Out: whether a worker process ended, whether
its node went with it, and the reason in one line. Everything here was learnt from real deaths; the tests
cause them.
"""

from __future__ import annotations

from ray.exceptions import (
    ActorUnschedulableError,
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RaySystemError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from facecap_batch.scheduling.nodes import is_alive

# Ends of a worker process, not of the work in it. Everything else is a bug of ours and is raised.
WORKER_DEATHS = (
    RayActorError,  # includes ActorDiedError
    NodeDiedError,
    WorkerCrashedError,
    OutOfMemoryError,
    ObjectLostError,  # its record went with the node
    RaySystemError,
    GetTimeoutError,
    # The node that it was meant for is gone, or none can hold a worker of this size.
    ActorUnschedulableError,
    TaskUnschedulableError,
)
MAX_REASON = 200  # characters of Ray's message


def reason_of(error: Exception) -> str:
    """The part of Ray's long message that names why a worker ended, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, (ActorUnschedulableError, TaskUnschedulableError)):
        return f"the cluster cannot hold a worker: {text[:MAX_REASON]}"
    # Not "memory" alone: Ray adds to every death that the kernel may have wanted its memory.
    if isinstance(error, OutOfMemoryError) or "OutOfMemory" in text or "running low on memory" in text:
        return "the worker was stopped because its node ran out of memory"
    for mark in ("Worker exit detail:", "The actor is dead because"):
        if mark in text:
            return f"the worker process died: {text.split(mark, 1)[1].strip()[:160]}"
    return f"the worker process died: {text[:MAX_REASON]}"


def is_node_death(error: Exception, node_id: str | None) -> bool:
    """True where a worker ended because its node did: preemption, not a crash.

    Args:
        error: what Ray raised for the worker.
        node_id: the worker's node; None where it is not known yet.
    """
    if isinstance(error, NodeDiedError) or getattr(error, "preempted", False):
        return True
    return node_id is not None and not is_alive(node_id)
