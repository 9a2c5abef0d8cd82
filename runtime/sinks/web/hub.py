"""Hub: hands each encoded frame to the viewers that wait for it.

Everything in a Hub and a Viewer runs on the server's event loop, but for `Hub.write` and `Hub.lost`, which the
pipeline calls and which return at once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ...errors import SinkError
from ...frames import Result
from ...timing import now_s
from .address import Address
from .feed import NEVER_S, Feed
from .packet import pack

if TYPE_CHECKING:
    from ...sources import Status

STATS_EVERY_S = 1.0


class Viewer:
    """One open page: what it looks at, and what waits to be sent to it.

    Of frames and of statistics only the newest waits, so a slow viewer misses some and never sees old ones.

    Attributes:
        feed: the source it looks at, or None where there is none yet.
        fps: at most so many frames a second.
        shows: whether it wants frames now.
        credit: how many more frames may be sent before it acknowledges one.
    """

    def __init__(self, feed: Feed | None, fps: float, credit: float) -> None:
        self.feed, self.fps, self.credit = feed, fps, credit
        self.shows = True
        self.next_s = 0.0
        self.packet: bytes | None = None
        self.texts: dict[str, str] = {}
        self.news = asyncio.Event()

    def offer(self, packet: bytes) -> None:
        """Puts a frame in place of the one that waits."""
        self.packet = packet
        self.news.set()

    def tell(self, kind: str, text: str) -> None:
        """Puts a text in place of the one of its kind that waits."""
        self.texts[kind] = text
        self.news.set()

    def sent(self) -> None:
        """Counts a frame that was sent."""
        self.credit -= 1
        now, step_s = now_s(), 1 / self.fps
        self.next_s = (self.next_s if self.next_s + step_s > now else now) + step_s

    @property
    def ready_s(self) -> float:
        """When it wants its next frame; never, while it is paused or has not acknowledged enough."""
        return self.next_s if self.shows and self.credit > 0 and self.packet is None else NEVER_S


class Hub:
    """The feeds of a page and its viewers.

    Attributes:
        feeds: by name, in the order in which they came; replaced, never changed, so that any thread may read it.
        encoded, sent: how many frames were encoded, and how often one went to a viewer.
    """

    def __init__(self, address: Address) -> None:
        self.feeds: dict[str, Feed] = {}
        self.viewers: set[Viewer] = set()
        self.encoded = self.sent = 0
        self._address = address
        self._loop: asyncio.AbstractEventLoop | None = None
        self._encoder = ThreadPoolExecutor(1, "epee-web-encoder")

    def write(self, feed: Feed, result: Result) -> None:
        """Takes a result of the pipeline; encodes it, on another thread, where a viewer waits for it."""
        if feed.error is not None:
            error, feed.error = feed.error, None
            raise SinkError(f"sink 'web' cannot encode a frame of '{feed.name}'", got=str(error)) from error
        if feed.take(result):
            self._encoder.submit(self._encode, feed, result)

    def lost(self, feed: Feed, status: Status) -> None:
        """Takes what the pipeline says of a source, and tells it to all viewers."""
        feed.tell(status)
        self.call(self.publish)

    def encode_snapshot(self, result: Result) -> asyncio.Future[bytes]:
        """The overlay as a JPEG, drawn on the encoder's thread.

        It is drawn for a result of the same parts, since the pipeline may still write into the times of this one.
        """
        same = Result(result.frame, result.outputs, result.manifest)
        return asyncio.get_running_loop().run_in_executor(self._encoder, same.jpeg)

    def call(self, function: Any, *args: Any) -> None:
        """Calls on the event loop, from any thread; does nothing once that is closed."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    def add(self, viewer: Viewer) -> None:
        """A page opened."""
        self.viewers.add(viewer)
        self.greet(viewer)
        self.ask(viewer)

    def greet(self, viewer: Viewer) -> None:
        """Tells a viewer which sources there are and how they are."""
        viewer.tell("hello", self._hello())
        viewer.tell("stats", self._stats())

    def ask(self, viewer: Viewer) -> None:
        """Asks the viewer's feed for the frame that it wants next."""
        if viewer.feed is not None and viewer.ready_s < NEVER_S:
            viewer.feed.want(max(viewer.ready_s, viewer.feed.encoded_s + 1 / self._address.fps))

    def publish(self, hello: bool = False) -> None:
        """Tells every viewer how all sources are; with `hello`, which sources there are."""
        stats = self._stats() if self.viewers else ""
        for viewer in self.viewers:
            if hello:
                viewer.feed = self.find(viewer.feed.name if viewer.feed else "")
                viewer.tell("hello", self._hello())
                self.ask(viewer)
            viewer.tell("stats", stats)

    def find(self, name: str) -> Feed | None:
        """The feed of that name, else the first one."""
        return self.feeds.get(name, next(iter(self.feeds.values()), None))

    async def tick(self) -> None:
        """Tells the statistics once a second, for ever; and the models, where one was replaced."""
        self._loop = asyncio.get_running_loop()
        told: list[int] = []
        while True:
            await asyncio.sleep(STATS_EVERY_S)
            for feed in self.feeds.values():
                feed.remember()
            models = [id(feed.manifest) for feed in self.feeds.values()]
            self.publish(hello=models != told)
            told = models

    def close(self) -> None:
        """Ends the encoder's thread."""
        self._encoder.shutdown(wait=True, cancel_futures=True)

    def _encode(self, feed: Feed, result: Result) -> None:
        try:
            packet = pack(result, feed.name, self._address.width, self._address.quality)
        except Exception as error:
            feed.error = error
        else:
            self.encoded += 1
            self.call(self._deliver, feed, packet)

    def _deliver(self, feed: Feed, packet: bytes) -> None:
        """To every viewer whose turn is now or so soon that no other frame comes before."""
        until_s = now_s() + 0.5 / self._address.fps
        for viewer in self.viewers:
            if viewer.feed is feed and viewer.ready_s <= until_s:
                viewer.offer(packet)
            self.ask(viewer)

    def _hello(self) -> str:
        return _text("hello", {"sources": [feed.facts() for feed in self.feeds.values()]})

    def _stats(self) -> str:
        return _text("stats", {"sources": {name: feed.stats() for name, feed in self.feeds.items()}})


def _text(kind: str, body: Mapping[str, Any]) -> str:
    return json.dumps({"type": kind, **body})
