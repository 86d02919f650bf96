"""``python -m facecap_batch``: the command line."""

from facecap_batch.cli.app import main

if __name__ == "__main__":
    main(program="python -m facecap_batch")
