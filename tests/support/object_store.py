"""A real S3 server on this machine (moto's), behind a door that can misbehave for a while."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

BUCKET = "takes"


@dataclasses.dataclass
class Fault:
    """What goes wrong with requests of one kind."""

    method: str  # GET, PUT, …
    holding: str  # a part of the address
    times: int  # how often
    status: int  # HTTP; 0: the connection breaks instead


class ObjectStore:
    """One server. `requests` are the methods and addresses that came in, `served` the bytes that went out."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self.requests: list[tuple[str, str]] = []
        self.served = 0
        self.faults: list[Fault] = []
        self._store = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._door, threaded=True, request_handler=Quiet)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """By which clients find the server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.address,
            "AWS_ACCESS_KEY_ID": "a key",
            "AWS_SECRET_ACCESS_KEY": "a secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def empty(self) -> None:
        """Forget everything; servers of one process share what they hold."""
        urllib.request.urlopen(f"{self.address}/moto-api/reset", data=b"").close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextlib.contextmanager
    def fault(self, method: str, holding: str, times: int, status: int = 503) -> Iterator[Fault]:
        """The next `times` requests of this kind go wrong."""
        fault = Fault(method, holding, times, status)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def forget(self) -> None:
        self.requests.clear()
        self.served = 0

    def _door(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, address = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        # Anyone may read, as web pages are read.
        environ.setdefault(
            "HTTP_AUTHORIZATION", "AWS4-HMAC-SHA256 Credential=a/20000101/us-east-1/s3/aws4_request"
        )
        self.requests.append((method, address))
        for fault in self.faults:
            if fault.times > 0 and method == fault.method and fault.holding in address:
                fault.times -= 1
                return self._refuse(fault, environ, start_response)
        return self._counted(self._store(environ, start_response))

    def _counted(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        for part in parts:
            self.served += len(part)
            yield part

    @staticmethod
    def _refuse(fault: Fault, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if not fault.status:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        body = b"" if fault.method == "HEAD" else b"out of order"
        start_response(f"{fault.status or 500} Out of order", [("Content-Length", str(len(body)))])
        return [body]


@contextlib.contextmanager
def running_store() -> Iterator[ObjectStore]:
    """A server with one empty bucket, in the environment of this process and of those that it starts."""
    pytest.importorskip("moto")
    fsspec = pytest.importorskip("fsspec")
    store = ObjectStore()
    before = {name: os.environ.get(name) for name in store.environment()}
    os.environ.update(store.environment())
    try:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        store.empty()
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield store
    finally:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        store.close()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
