"""What Prometheus reads at `/metrics`, counted by the feeds and put together when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from .feed import BOUNDS_S, Feed, Histogram
from .hub import Hub

COUNTERS = {
    "epee_frames": ("frames", "Frames delivered."),
    "epee_frames_received": ("received", "Frames that the source gave."),
    "epee_frames_dropped": ("dropped", "Frames left out because a newer one was there."),
    "epee_frames_bad": ("bad", "Packets or frames that did not decode."),
    "epee_reconnects": ("reconnects", "How often a lost source came back."),
}
"""Name without `_total` -> key of the feed's statistics, and help."""


def registry_of(hub: Hub) -> CollectorRegistry:
    """A registry of the hub's own; nothing is shared with the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_HubCollector(hub))
    return registry


class _HubCollector(Collector):
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterable[Metric]:
        feeds = list(self._hub.feeds.values())
        yield from _state(feeds)
        yield _histogram("epee_frame_age_seconds", "From capture to delivery.", ["source"],
                         [([feed.name], feed.ages) for feed in feeds])
        yield _histogram("epee_stage_seconds", "Time that a frame spent in a stage.", ["source", "stage"],
                         [([feed.name, stage], held) for feed in feeds for stage, held in list(feed.stages.items())])
        viewers = GaugeMetricFamily("epee_web_viewers", "Open pages.")
        viewers.add_metric([], len(self._hub.viewers))
        encoded = CounterMetricFamily("epee_web_frames_encoded", "Frames encoded for viewers.")
        encoded.add_metric([], self._hub.encoded)
        sent = CounterMetricFamily("epee_web_frames_sent", "Frames sent to viewers.")
        sent.add_metric([], self._hub.sent)
        yield from (viewers, encoded, sent)


def _state(feeds: Sequence[Feed]) -> Iterator[Metric]:
    """Counters, gauges and the facts of each source."""
    stats = {feed.name: feed.stats() for feed in feeds}
    for name, (key, text) in COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=["source"])
        for source, held in stats.items():
            counter.add_metric([source], held[key])
        yield counter
    live = GaugeMetricFamily("epee_source_live", "1 where the source gives frames, 0 where it is lost or stalled.",
                             labels=["source"])
    rate = GaugeMetricFamily("epee_frames_per_second", "Frames a second, newest three seconds.", labels=["source"])
    share = GaugeMetricFamily("epee_class_share", "Share of the newest frame's pixels.", labels=["source", "class"])
    about = GaugeMetricFamily("epee_source_info", "What computes, always 1.",
                              labels=["source", "model", "backend", "device", "precision"])
    for feed in feeds:
        live.add_metric([feed.name], float(feed.live))
        rate.add_metric([feed.name], stats[feed.name]["fps"] or 0.0)
        for label, value in stats[feed.name]["shares"].items():
            share.add_metric([feed.name, label], value)
        info = feed.info
        about.add_metric([feed.name, info.manifest.name, info.backend, info.device, info.precision], 1)
    yield from (live, rate, share, about)


def _histogram(name: str, text: str, labels: list[str], held: list[tuple[list[str], Histogram]]) -> Metric:
    metric = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in held:
        sums = list(accumulate(histogram.counts))
        buckets = [(f"{bound:g}", float(n)) for bound, n in zip((*BOUNDS_S, float("inf")), sums, strict=True)]
        buckets[-1] = ("+Inf", buckets[-1][1])
        metric.add_metric(values, buckets, histogram.sum_s)
    return metric
