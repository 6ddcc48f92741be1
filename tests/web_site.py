"""A web site on this machine, whose connections can break."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class Site:
    """The files of a folder by HTTP.

    Attributes:
        folder: of the files.
        ranges: it knows ``Range`` and ``If-Range``.
        breaks_after: bytes after which each of the next answers breaks off, one entry an answer.
        asked: the ``Range`` of each request, '' for none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.ranges, self.breaks_after, self.asked = folder, True, [], []
        self.url = ''

    def version(self, content: bytes) -> str:
        return f'"{hash(content)}"'


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """Serve a folder."""
    site = Site(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = site.folder / self.path.strip('/')
            site.asked.append(self.headers.get('Range', ''))
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            found = re.fullmatch(r'bytes=(\d+)-', site.asked[-1]) if site.ranges else None
            start = int(found[1]) if found and self.headers.get('If-Range') == site.version(content) else 0
            if start > len(content) - 1:
                self.send_response(416)
                self.send_header('Content-Range', f'bytes */{len(content)}')
                self.send_header('Content-Length', '0')
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
            self.send_header('Content-Length', str(len(content) - start))
            if site.ranges:
                self.send_header('ETag', site.version(content))
            self.end_headers()
            end = start + site.breaks_after.pop(0) if site.breaks_after else len(content)
            self.wfile.write(content[start:end])
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    site.url = f'http://127.0.0.1:{server.server_port}'
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
