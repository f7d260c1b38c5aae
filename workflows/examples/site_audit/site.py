"""A small web site with three faults: a link to nowhere, a page without security headers, a secret in a script."""

import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}
PAGES = {
    "/": '<h1>Shop</h1><a href="/products">Products</a> <a href="/login">Sign in</a> <a href="/about">About us</a>',
    "/products": '<h1>Products</h1><a href="/products/1">A lamp</a> <a href="/sale-2019">Sale</a> <a href="/">Home</a>',
    "/products/1": '<h1>A lamp</h1><p>It shines.</p><a href="/products">All products</a>',
    "/login": '<h1>Sign in</h1><form></form><script src="/app.js"></script><a href="/">Home</a>',
    "/about": '<h1>About us</h1><p>We sell lamps.</p><a href="/">Home</a>',
    # The key of the provider's own documentation: it opens nothing.
    "/app.js": 'const uploads = {bucket: "shop", accessKey: "AKIAIOSFODNN7EXAMPLE"};',
}
BARE = {"/login"}


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        page = PAGES.get(self.path)
        body = (page or "<h1>Not found</h1>").encode()
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if self.path not in BARE:
            for name, value in SECURITY_HEADERS.items():
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Site)
# A container's first process gets no default reaction to SIGTERM.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print(f"serving {len(PAGES)} pages on port {server.server_port}")
server.serve_forever()
