"""A headless Chromium for tests: the DevTools protocol over two pipes, with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TIMEOUT_SECONDS = 120
#: Chromium reads commands from descriptor 3 and writes to 4; this puts the given ones there and becomes Chromium.
_LAUNCH = """
import os, sys
for given, wanted in zip(sys.argv[1:3], (3, 4)):
    os.dup2(int(given), wanted)
os.execv(sys.argv[3], sys.argv[3:])
"""
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--disable-dev-shm-usage",
)
#: Functions for expressions in a page.
_HELPERS = """
all = (selector) => [...document.querySelectorAll(selector)];
number = (element, name) => Number(element.getAttribute(name));
shown = (element) => element.checkVisibility();
centre = (element) => {
  const box = element.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
};
scrollTo = (element) => {
  element.scrollIntoView({ block: "center", behavior: "instant" });
  const frame = () => new Promise(requestAnimationFrame);
  return frame().then(frame).then(() => centre(element));
};
0;
"""


class Browser:
    """One page in one browser.

    Parameters
    ----------
    profile : Path
        An empty folder for the browser's files.

    Members
    -------
    console : list of str
        Errors and warnings that pages have logged, and exceptions that nobody caught.
    requests : list of str
        Addresses that pages have asked for.
    """

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        self.console: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        self._number = 0
        self._replies: dict[int, dict[str, Any]] = {}
        self._rest = b""
        to_browser, self._write = _high_pipe()
        self._read, from_browser = _high_pipe()
        command = [sys.executable, "-c", _LAUNCH, str(to_browser), str(from_browser), CHROMIUM, *_FLAGS]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._session: str | None = None
        target = next(info for info in self._targets() if info["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _targets(self) -> list[dict[str, Any]]:
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            targets = self.send("Target.getTargets")["targetInfos"]
            if any(info["type"] == "page" for info in targets):
                return targets
            time.sleep(0.1)
        raise TimeoutError("Chromium has opened no page")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None
        try:
            self.send("Browser.close")
        except (TimeoutError, OSError):
            self._process.kill()
        self._process.wait(TIMEOUT_SECONDS)
        os.close(self._write)
        os.close(self._read)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        self._until(lambda: self._number in self._replies, method)
        reply = self._replies.pop(self._number)
        assert "error" not in reply, f"{method}: {reply.get('error')}"
        return reply["result"]

    def _until(self, done: Any, what: str) -> None:
        end = time.monotonic() + TIMEOUT_SECONDS
        while not done():
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"Chromium has not answered {what}")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise OSError("Chromium has ended")
            *messages, self._rest = (self._rest + chunk).split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._replies[message["id"]] = message
            return
        method, values = message["method"], message["params"]
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(values["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.console.append(f"{values['entry']['level']}: {values['entry']['text']}")
        elif method == "Runtime.consoleAPICalled":
            self.console.append(f"{values['type']}: {values['args']}")

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, touch: bool = False, scheme: str = "light"
    ) -> None:
        """Load a file into a window of this size."""
        self.console.clear()
        self.requests.clear()
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.media(scheme=scheme)
        self._loaded = False
        self.send("Page.navigate", url=path.resolve().as_uri())
        self._until(lambda: self._loaded, f"the load of {path.name}")
        self.eval(_HELPERS)

    def media(self, media: str = "", scheme: str = "light") -> None:
        """Show the page as on this medium."""
        self.send(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    def eval(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        reply = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def text(self, selector: str) -> str:
        """Return the text that the first element of a selector shows."""
        return str(self.eval(f"document.querySelector({json.dumps(selector)}).innerText"))

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements of a selector, shown or not."""
        return list(self.eval(f"all({json.dumps(selector)}).map((e) => e.textContent)"))

    def count(self, selector: str) -> int:
        """Return how many elements a selector has."""
        return int(self.eval(f"all({json.dumps(selector)}).length"))

    def centre(self, selector: str) -> tuple[float, float]:
        """Scroll to the first element of a selector and return its centre in the window."""
        x, y = self.eval(f"scrollTo(document.querySelector({json.dumps(selector)}))")
        return x, y

    def mouse(self, kind: str, x: float, y: float, *, pressed: bool = False) -> None:
        """Send a mouse event: ``mouseMoved``, ``mousePressed`` or ``mouseReleased``."""
        button = "none" if kind == "mouseMoved" and not pressed else "left"
        self.send(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button=button,
            buttons=int(pressed),
            clickCount=int(button == "left"),
        )

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse."""
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, pressed=True)
        self.mouse("mouseReleased", x, y)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press at a place, move, and release at another."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, pressed=True)
        for part in (0.3, 0.7, 1.0):
            x, y = (a + (b - a) * part for a, b in zip(start, end, strict=True))
            self.mouse("mouseMoved", x, y, pressed=True)
        self.mouse("mouseReleased", *end)

    def tap(self, x: float, y: float) -> None:
        """Touch a place."""
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, key: str) -> None:
        """Press a key such as ``Tab``, ``Enter`` or ``ArrowRight``."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def screenshot(self, *, whole: bool = True) -> bytes:
        """Return a PNG of the page."""
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])


def _high_pipe() -> tuple[int, int]:
    """Return the two ends of a pipe, neither of them descriptor 3 or 4."""
    import fcntl

    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
