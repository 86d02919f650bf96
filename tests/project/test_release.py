"""What a release holds: the facts that nobody notices until a stranger installs it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import facecap_batch

if sys.version_info < (3, 11):
    pytest.skip("tomllib came with Python 3.11", allow_module_level=True)

import tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_version_is_the_same_everywhere():
    version = PROJECT["project"].get("version", facecap_batch.__version__)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert version == facecap_batch.__version__
    assert f"\nversion: {version}\n" in citation


def test_types_and_notices_come_along():
    assert (ROOT / "facecap_batch" / "py.typed").is_file()
    assert PROJECT["project"]["license-files"] == ["LICENSE", "NOTICE"]


def test_everything_that_the_report_is_made_of_is_there():
    from facecap_batch.reporting.document import SCRIPTS, STYLES

    page = ROOT / "facecap_batch" / "reporting" / "page"
    assert {path.name for path in page.iterdir()} == {"index.html", *STYLES, *SCRIPTS}
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["facecap_batch"] and not {"exclude", "only-include"} & set(wheel)


def test_training_checkpoints_stay_out_of_the_source_distribution():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"engines/default", "engines/fast"} <= set(included)
    assert not any(path in included for path in ("engines", "engines/checkpoints"))
    assert [path for path in included if not (ROOT / path).exists()] == []


def test_the_notice_names_every_licence_holder():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for holder in ("2020 USC Institute for Creative Technologies", "CC0", "2021 Alexandre Donciu-Julin"):
        assert holder in notice


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_install_commands_work_from_a_checkout(page: Path):
    # The package is on no index: its bare name cannot be installed.
    assert re.findall(r"pip install (?:-\S+ )*[\"']?facecap-batch", page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_extras_in_the_documents_exist(page: Path):
    named = re.findall(r"pip install [^\n`]*?\.\[([a-z,]+)\]", page.read_text(encoding="utf-8"))
    known = set(PROJECT["project"]["optional-dependencies"])
    assert {extra for extras in named for extra in extras.split(",")} <= known
