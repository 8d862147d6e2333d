"""A page in headless Chromium, told what to do over its DevTools protocol: https://chromedevtools.github.io/devtools-protocol."""

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers import wait_for
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

FLAGS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Page:
    """One tab. `requests`: addresses it asked for; `complaints`: what it wrote to the console, threw, or was refused."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._loop, self._calls = loop, 0
        self._connection: WebSocketClientConnection = self._wait(websocket_connect, HTTPRequest(address), max_message_size=2**28)
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def _wait(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What the awaitable that the function returns gives within a minute."""

        async def within() -> Any:
            return await asyncio.wait_for(function(*arguments, **options), 600)

        return self._loop.run_until_complete(within())

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command; events that come before it are noted."""
        self._calls += 1
        self._wait(self._connection.write_message, json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while (message := self._next()).get("id") != self._calls:
            pass
        assert "error" not in message, message
        return dict(message["result"])

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._wait(self._connection.read_message))
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded":
                self.complaints.append(json.dumps(message["params"])[:500])
        return message

    def open(self, path: Path, width: int = 1400, dark: bool = False) -> None:
        """Load the file anew in a window of this width."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.requests.clear()
        self.complaints.clear()
        self.call("Page.navigate", url=path.as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """The mouse, on the middle of the first element that `selector` finds."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.evaluate(f"{element}.getBoundingClientRect().toJSON()")
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def press(self, key: str) -> None:
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=KEYS[key], text=text if kind == "keyDown" else "")


@contextmanager
def chromium(program: str, profile: Path) -> Iterator[Page]:
    """A browser of its own, with nothing in its profile, and its one tab."""
    command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    loop = asyncio.new_event_loop()
    try:
        port_file = profile / "DevToolsActivePort"
        port, _ = wait_for(lambda: port_file.exists() and len(lines := port_file.read_text().split()) == 2 and lines)
        yield Page(loop, _address(int(port)))
    finally:
        process.terminate()
        process.wait(timeout=600)
        loop.close()


def _address(port: int) -> str:
    """Where the tab listens."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=600) as answer:
        (tab,) = [tab for tab in json.load(answer) if tab["type"] == "page"]
    return str(tab["webSocketDebuggerUrl"])
