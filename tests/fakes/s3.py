"""An S3 server on loopback: objects of buckets put, got, listed and deleted over HTTP."""

import contextlib
import datetime
import http.server
import re
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any
from xml.sax import saxutils


class Server(http.server.ThreadingHTTPServer):
    """`objects` by bucket and name; with `refuse` every request is answered by 403."""

    daemon_threads = True

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime.datetime]] = {}
        self.signed: list[str] = []
        self.refuse = False
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _asked(self) -> tuple[str, dict[str, list[str]]] | None:
        self.server.signed.append(self.headers.get("Authorization", ""))
        if self.server.refuse:
            key = self.server.signed[-1]
            self._answer(403, f"<Error><Code>AccessDenied</Code><Message>{key}</Message></Error>".encode())
            return None
        parts = urllib.parse.urlsplit(self.path)
        return urllib.parse.unquote(parts.path).lstrip("/"), urllib.parse.parse_qs(parts.query)

    def do_PUT(self) -> None:
        """An object."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        asked = self._asked()
        if asked is not None:
            self.server.objects[asked[0]] = (content, datetime.datetime.now(datetime.UTC))
            self._answer(200, ETag='"tag"')

    def do_GET(self) -> None:
        """An object, or a list of those under a prefix."""
        asked = self._asked()
        if asked is None:
            return
        name, query = asked
        if "list-type" in query:
            self._answer(200, self._listed(name, query.get("prefix", [""])[0]), Content_Type="text/xml")
        elif name in self.server.objects:
            content, at = self.server.objects[name]
            self._answer(200, content, ETag='"tag"', Last_Modified=f"{at:%a, %d %b %Y %H:%M:%S} GMT")
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        """What a GET says, without the object."""
        self.do_GET()

    def do_POST(self) -> None:
        """Deletes the objects that the body names."""
        content = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = self._asked()
        if asked is not None:
            names = [saxutils.unescape(name) for name in re.findall("<Key>(.*?)</Key>", content)]
            for name in names:
                self.server.objects.pop(f"{asked[0]}/{name}", None)
            deleted = "".join(f"<Deleted><Key>{saxutils.escape(name)}</Key></Deleted>" for name in names)
            self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

    def _listed(self, bucket: str, prefix: str) -> bytes:
        found = [
            f"<Contents><Key>{saxutils.escape(name.removeprefix(bucket + '/'))}</Key>"
            f"<Size>{len(content)}</Size>"
            f"<LastModified>{at:%Y-%m-%dT%H:%M:%S.000Z}</LastModified><ETag>tag</ETag></Contents>"
            for name, (content, at) in sorted(self.server.objects.items())
            if name.startswith(f"{bucket}/{prefix}")
        ]
        head = f"<Name>{bucket}</Name><KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{head}{''.join(found)}</ListBucketResult>".encode()


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server until the block's end."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
