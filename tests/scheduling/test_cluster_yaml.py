"""ray_cluster.yaml against Ray's own validator, and against what it promises."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

PATH = Path(__file__).resolve().parents[2] / "ray_cluster.yaml"


@pytest.fixture(scope="module")
def config() -> dict:
    return yaml.safe_load(PATH.read_text())


def test_ray_accepts_it(config: dict) -> None:
    from ray.autoscaler._private.util import fillout_defaults, prepare_config, validate_config

    whole = prepare_config(fillout_defaults(config))
    validate_config(whole)
    types = whole["available_node_types"]
    assert types["cpu_worker"]["resources"]["CPU"] > 0 and types["gpu_worker"]["resources"]["GPU"] > 0
    assert whole["head_node_type"] in types


def test_worker_groups_scale_from_nothing(config: dict) -> None:
    for name in ("cpu_worker", "gpu_worker"):
        group = config["available_node_types"][name]
        assert group["min_workers"] == 0 < group["max_workers"]


def test_every_node_demands_the_token_and_none_shows_a_dashboard(config: dict) -> None:
    starts = [
        command
        for command in config["head_start_ray_commands"] + config["worker_start_ray_commands"]
        if "ray start" in command
    ]
    assert len(starts) == 2
    for command in starts:
        assert "RAY_AUTH_MODE=token" in shlex.split(command.replace(";", " ; "))
    head = shlex.split(next(command for command in starts if "--head" in command))
    assert "--dashboard-host=127.0.0.1" in head
    assert "~/.ray/auth_token" in config["file_mounts"]


def test_no_node_gets_both_onnxruntimes(config: dict) -> None:
    gpu = " ".join(config["available_node_types"]["gpu_worker"]["worker_setup_commands"])
    everywhere = " ".join(config["setup_commands"])
    assert "[gpu," in gpu and "[cpu" not in gpu
    assert "[cpu," in everywhere and "[gpu" not in everywhere


def test_every_node_has_what_a_cluster_needs(config: dict) -> None:
    """Ray's job server, autoscaler and metrics agent come with an extra; the autoscaler needs boto3."""
    groups = [config["setup_commands"], config["available_node_types"]["gpu_worker"]["worker_setup_commands"]]
    assert all("cluster]" in " ".join(commands) for commands in groups)
    assert "boto3" in " ".join(config["head_setup_commands"])
