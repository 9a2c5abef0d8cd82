"""An RTSP server whose pictures carry their number and the wall clock (`bars`).

    /usr/bin/python3 benchmarks/studies/rtsp_server.py [--port 0] [--codec h264|h265] [--size 320x240] [--fps 30]
                                                       [--auth USER:PASSWORD]

A script for the system's Python, where GStreamer's bindings are (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-{base,good,bad,ugly}); it imports nothing of this project but its neighbour. Prints its port as one
line of JSON when it serves `rtsp://127.0.0.1:PORT/live`, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import threading
import time
from typing import Any

ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=1500 key-int-max=30 ! "
            "video/x-h264,profile=baseline ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast bitrate=1500 key-int-max=30 ! "
            "h265parse ! rtph265pay name=pay0 pt=96 config-interval=1",
}


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--codec", choices=list(ENCODERS), default="h264")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--auth", default="")
    args = parser.parse_args()
    gi = importlib.import_module("gi")
    for name in ("Gst", "GstApp", "GstRtspServer"):
        gi.require_version(name, "1.0")
    glib, gst, rtsp, _ = (bindings(name) for name in ("GLib", "Gst", "GstRtspServer", "GstApp"))
    gst.init(None)
    server = rtsp.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    factory = rtsp.RTSPMediaFactory()
    width, height = map(int, args.size.split("x"))
    factory.set_launch(f"( appsrc name=drawn is-live=true format=time do-timestamp=true "
                       f"caps=video/x-raw,format=I420,width={width},height={height},framerate={args.fps}/1 ! "
                       f"{ENCODERS[args.codec]} )")
    factory.set_shared(True)
    if args.auth:
        demand(rtsp, server, factory, *args.auth.split(":"))
    factory.connect("media-configure", lambda _, media: feed(gst, media, (width, height), args.fps))
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit("the port is taken")
    loop = glib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    print(json.dumps({"port": server.get_bound_port()}), flush=True)
    loop.run()


def bindings(name: str) -> Any:
    """A library of GObject's."""
    return importlib.import_module(f"gi.repository.{name}")


def demand(rtsp: Any, server: Any, factory: Any, user: str, password: str) -> None:
    """Serves only who knows user and password."""
    auth, token = rtsp.RTSPAuth(), rtsp.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(rtsp.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    factory.add_role_from_structure(role())


def role() -> Any:
    """What a viewer may do."""
    return bindings("Gst").Structure.new_from_string("viewer, media.factory.access=(boolean)true, "
                                         "media.factory.construct=(boolean)true;")


def feed(gst: Any, media: Any, size_wh: tuple[int, int], fps: int) -> None:
    """Draws a medium's frames, bars above and bands that move below, whenever its source wants the next."""
    bars: Any = importlib.import_module("bars")
    width, height = size_wh
    bands = bytes(40 + (x * 7 // 4) % 160 for x in range(width)) * 2
    chroma = bytes([128]) * (width * height // 2)
    number, begin_s = 0, time.monotonic()

    def push(source: Any, _: int) -> None:
        nonlocal number
        time.sleep(max(0.0, begin_s + number / fps - time.monotonic()))
        shift = 2 * number % width
        luma = bytearray(bands[shift:shift + width] * height)
        bars.draw(luma, width, number, bars.wall_ms())
        source.emit("push-buffer", gst.Buffer.new_wrapped(bytes(luma) + chroma))
        number += 1

    media.get_element().get_by_name_recurse_up("drawn").connect("need-data", push)


if __name__ == "__main__":
    main()
