"""``facecap-batch run`` as a Ray job: the same arguments, on the cluster that the job was submitted to.

    ray job submit --working-dir . -- python jobs/run_manifest.py manifest.csv --output /mnt/facecap/out

Manifest, videos and output must lie behind URIs, or on storage that every node sees under the same path. The
exit code is the run's: a job that ends with 1 has finished, and clips.parquet names the clips that failed.
"""

from __future__ import annotations

import sys

from facecap_batch.cli.app import main


def run(arguments: list[str]) -> None:
    """Run `arguments` on the cluster of the job, or on the one that they name."""
    named = any(argument.split("=")[0] == "--ray-address" for argument in arguments)
    main(["run", *arguments, *([] if named else ["--ray-address", "auto"])])


if __name__ == "__main__":
    run(sys.argv[1:])
