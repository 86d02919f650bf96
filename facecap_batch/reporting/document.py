"""The page as a document: its parts in ``page/``, its data, and what it may load.

In: blocks of data. Out: HTML. A page fetches nothing from anywhere: its content security policy names its own
script and style by their hashes, and lets it show videos of this disk, or ask the server it came from.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import html
import importlib.resources
import json
from typing import Any, Literal

STYLES = ("page.css", "take.css")
# In the order in which they need each other: they become one script.
SCRIPTS = (
    *("text.js", "source.js", "curves.js", "table.js", "overview.js", "matrices.js", "head.js", "clock.js"),
    *("timeline.js", "channels.js", "take.js", "main.js"),
)
CLOSING = "</body>\n</html>\n"
Kind = Literal["file", "served"]
_POLICY = {
    "file": "media-src 'self' file:; connect-src 'none'",
    "served": "media-src 'self'; connect-src 'self'",
}


@dataclasses.dataclass(frozen=True)
class Block:
    """Data in a page."""

    name: str  # id of its element
    media_type: str
    text: str


@functools.cache
def _parts(names: tuple[str, ...]) -> str:
    folder = importlib.resources.files("facecap_batch.reporting") / "page"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def policy(kind: Kind) -> str:
    """The page's Content-Security-Policy."""
    script, style = (_hash(_text(names)) for names in (SCRIPTS, STYLES))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; {_POLICY[kind]}; "
        "base-uri 'none'; form-action 'none'"
    )


def opening(title: str, kind: Kind) -> str:
    """The page up to its data."""
    frame = _parts(("index.html",))
    values = {
        "policy": html.escape(policy(kind)),
        "title": html.escape(title),
        "style": _text(STYLES),
        "kind": kind,
    }
    for name, value in values.items():
        frame = frame.replace(f"<!--{name}-->", value)
    return frame


def program() -> str:
    """The script that makes the page of the data before it. What is behind it is looked up when needed."""
    return f"<script>{_text(SCRIPTS)}</script>\n"


def element(block: Block) -> str:
    """`block` as an element that no browser executes."""
    name, kind = html.escape(block.name), html.escape(block.media_type)
    return f'<script type="{kind}" id="{name}">{block.text}</script>\n'


def json_block(name: str, value: Any) -> Block:
    """Data as JSON; text in it cannot end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return Block(name, "application/json", text.replace("<", "\\u003c"))


def binary_block(name: str, content: bytes) -> Block:
    """Data as base64."""
    return Block(name, "text/plain", base64.b64encode(content).decode())


def plain(value: Any) -> Any:
    """Dataclasses as JSON takes them."""
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} is not in a page")


def _text(names: tuple[str, ...]) -> str:
    return f"\n{_parts(names)}\n"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
