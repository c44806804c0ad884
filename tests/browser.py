"""A real browser for the tests: any Chrome or Chromium of this computer, cut off from the network.

Pages come from a server on this computer's loopback address. Every request that would leave the
computer is stopped and remembered, so that a test can say that there was none.
"""

import contextlib
import functools
import http.server
import os
import shutil
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
REMEDY = (
    "NO BROWSER: the pages of the book were not looked at. Install Chromium or Chrome (Debian: "
    "apt-get install chromium), or set the environment variable CHROME to its program, and rerun."
)


def find():
    """Path of a Chrome or Chromium, or None."""
    if os.environ.get("CHROME"):
        return os.environ["CHROME"]
    for name in COMMANDS:
        if shutil.which(name):
            return shutil.which(name)
    return next((place for place in PLACES if Path(place).is_file()), None)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(folder):
    """Serve a folder on the loopback address; yields its URL."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Visit:
    """One page, with the complaints of its console and the requests that tried to leave."""

    def __init__(self, page, home):
        self.page, self.home, self.errors, self.outside = page, home, [], []
        page.on("console", lambda line: self._line(line.type, line.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("response", self._response)
        page.route("**/*", self._gate)

    def _line(self, kind, text):
        if kind == "error":
            self.errors.append(text)

    def _response(self, response):
        if response.status >= 400:
            self.errors.append(f"{response.status} {response.url}")

    def _gate(self, route):
        url = urlsplit(route.request.url)
        if url.scheme in ("data", "blob") or route.request.url.startswith(self.home):
            return route.continue_()
        self.outside.append(route.request.url)
        return route.abort()

    def open(self, path):
        """Open a page of the site, and give its scripts a moment."""
        self.page.goto(self.home + path, wait_until="load")
        self.page.wait_for_timeout(200)
        return self.page


@contextlib.contextmanager
def chromium(program, home, size=(1280, 900)):
    """Start the browser without network; yields a function that gives a new `Visit`."""
    from playwright.sync_api import sync_playwright

    flags = [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-gpu",
        "--no-first-run",
        # Whatever name a page asks for, there is nobody there.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    if sys.platform == "linux" and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run as root with one
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=flags)
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height})
        try:
            yield lambda: Visit(context.new_page(), home)
        finally:
            browser.close()
