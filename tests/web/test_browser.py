"""The page in a real Chromium: a person looks, hides, fades, pauses, and is told when the signal is lost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SIZES = {"desk": (1280, 800), "phone": (390, 844)}
MEAN = """() => {
  const shown = document.getElementById("picture"), c = new OffscreenCanvas(shown.width, shown.height);
  const ctx = c.getContext("2d", { willReadFrequently: true });
  ctx.drawImage(shown, 0, 0);
  const d = ctx.getImageData(0, 0, c.width, c.height).data;
  let sum = [0, 0, 0];
  for (let i = 0; i < d.length; i += 4) for (let k = 0; k < 3; k++) sum[k] += d[i + k];
  return sum.map((s) => s / (d.length / 4));
}"""
"""Mean red, green and blue of the picture."""
INDEX = "() => Number(document.getElementById('picture').dataset.index ?? -1)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright; skipped where either is missing, unless EPEE_REQUIRE_BROWSER is set."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        reason = "playwright is not installed; pip install 'epee[dev]'"
    else:
        reason = "" if chromium else "no chromium here; apt-get install chromium"
    if reason:
        (pytest.fail if os.environ.get("EPEE_REQUIRE_BROWSER") else pytest.skip)(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; at the end, its console must have been silent but for `allowed`."""
    contexts, said = [], []

    def open_page(url: str, size: str = "desk", scheme: str = "dark", allowed: str = "") -> Any:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda m: said.append(m.text) if not (allowed and allowed in m.text) else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def until(page: Any, true: str, argument: Any = None) -> None:
    """Waits until an expression or function is true; asks from outside, since the page's policy allows no eval."""
    end = time.monotonic() + 10
    while not page.evaluate(true, argument):
        assert time.monotonic() < end, true
        page.wait_for_timeout(30)


def shown(page: Any) -> list[float]:
    """Mean colour, once a first picture is there."""
    until(page, f"({INDEX})() >= 0")
    mean: list[float] = page.evaluate(MEAN)
    return mean


def pause(page: Any) -> None:
    """Pauses and waits for the picture to stand."""
    page.click("#pause")
    page.wait_for_timeout(200)


def test_a_person_sees_the_picture_and_the_facts(show: Any, visit: Any, tmp_path: Path) -> None:
    showing = show()
    for scheme in ("dark", "light"):
        for size in SIZES:
            page = visit(showing.url, size, scheme)
            assert min(shown(page)) > 30
            until(page, "document.querySelector('#chart-fps .value').textContent > '0'")
            assert page.inner_text("#state-text") == "live"
            facts = page.inner_text("#facts")
            assert all(word in facts for word in ("gate", "640 × 360", "street-nano", "onnxruntime", "cpu", "fp32"))
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            picture = tmp_path / f"{size}-{scheme}.png"
            page.screenshot(path=str(picture))
            assert picture.stat().st_size > 20_000
    legend = page.locator("#legend li").all_inner_texts()
    assert [text.split()[0] for text in legend][:3] == ["sky", "building", "road"]
    shares = [float(text.split()[1]) for text in legend]
    assert sum(shares) == pytest.approx(100, abs=1)


def test_strength_and_classes_change_the_picture_and_draw_nothing_here(show: Any, visit: Any) -> None:
    showing = show()
    page = visit(showing.url)
    shown(page)
    pause(page)
    before, index = page.evaluate(MEAN), page.evaluate(INDEX)
    encoded = showing.metric("epee_web_frames_encoded_total")
    page.fill("#strength", "100")
    full = page.evaluate(MEAN)
    page.fill("#strength", "0")
    bare = page.evaluate(MEAN)
    assert max(abs(a - b) for a, b in zip(full, bare, strict=True)) > 8
    assert all(min(a, b) - 1 <= c <= max(a, b) + 1 for a, b, c in zip(full, bare, before, strict=True))
    page.fill("#strength", "100")
    page.click("#legend li:nth-child(1) label")
    until(page, f"(was) => ({MEAN})().some((c, i) => Math.abs(c - was[i]) > 3)", full)
    page.click("#all")
    until(page, f"(was) => ({MEAN})().every((c, i) => Math.abs(c - was[i]) < 0.5)", full)
    assert page.evaluate(INDEX) == index
    assert showing.metric("epee_web_frames_encoded_total") == encoded
    assert showing.drawn == 0
    assert showing.metric('epee_stage_seconds_count{source="gate",stage="overlay"}') != 1


def test_what_is_drawn_is_what_the_pipeline_would_draw(show: Any, visit: Any, street_model: Any,
                                                       street_pictures: Any) -> None:
    showing = show()
    page = visit(showing.url)
    shown(page)
    pause(page)
    index = page.evaluate(INDEX)
    blue, green, red = street_model(street_pictures[index % len(street_pictures)]).overlay().mean((0, 1))
    assert page.evaluate(MEAN) == pytest.approx([red, green, blue], abs=2)


def test_pause_stops_the_picture_and_not_the_counters(show: Any, visit: Any) -> None:
    page = visit(show().url)
    shown(page)
    page.wait_for_selector("#facts dd:nth-of-type(8)")
    pause(page)
    index, frames = page.evaluate(INDEX), page.inner_text("#facts")
    until(page, "(was) => document.querySelector('#facts').innerText !== was", frames)
    assert page.evaluate(INDEX) == index
    assert page.inner_text("#state-text") == "paused"
    assert page.get_attribute("#pause", "aria-pressed") == "true"
    page.click("#pause")
    until(page, f"({INDEX})() > {index}")


def test_the_keyboard_does_everything(show: Any, visit: Any) -> None:
    page = visit(show().url)
    shown(page)
    page.keyboard.press(" ")
    assert page.get_attribute("#pause", "aria-pressed") == "true"
    page.keyboard.press("]")
    assert page.inner_text("#strength-value") == "60 %"
    page.keyboard.press("[")
    page.keyboard.press("1")
    assert not page.is_checked("#legend li:nth-child(1) input")
    page.keyboard.press("a")
    assert page.is_checked("#legend li:nth-child(1) input")
    page.focus("#pause")
    page.keyboard.press(" ")
    assert page.get_attribute("#pause", "aria-pressed") == "false"
    with page.expect_download() as downloaded:
        page.keyboard.press("s")
    assert downloaded.value.suggested_filename.startswith("gate-20")
    assert Path(downloaded.value.path()).read_bytes().startswith(b"\x89PNG")
    reached = set()
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.type"))
    assert {"pause", "strength", "snapshot", "all", "checkbox"} <= reached


def test_a_lost_signal_is_told_over_a_dimmed_picture(show: Any, visit: Any, tmp_path: Path) -> None:
    showing = show()
    page = visit(showing.url)
    shown(page)
    showing.lose("no packet for 5 s <b>from rtsp://gate/1</b>")
    page.wait_for_selector("#banner:visible")
    assert page.inner_text("#banner-title").startswith("Signal lost for")
    assert page.inner_text("#banner-text") == "no packet for 5 s <b>from rtsp://gate/1</b>"
    assert "brightness" in page.evaluate("getComputedStyle(document.getElementById('picture')).filter")
    until(page, "document.getElementById('banner-title').textContent.match(/[1-9] s/)")
    page.screenshot(path=str(tmp_path / "lost.png"))
    showing.flows.set()
    page.wait_for_selector("#banner", state="hidden")
    until(page, "document.querySelector('#chart-reconnects .value').textContent === '1'")


def test_the_page_comes_back_with_the_server(show: Any, visit: Any, tmp_path: Path) -> None:
    first = show()
    page = visit(first.url, allowed="WebSocket")
    shown(page)
    first.close()
    page.wait_for_selector("#banner:visible")
    assert page.inner_text("#banner-title") == "Connection to epee lost"
    second = show(f"web:{first.url.rstrip('/').rpartition(':')[2]}", name="yard")
    page.wait_for_selector("#banner", state="hidden")
    until(page, "document.querySelector('#facts').innerText.includes('yard')")
    assert second.metric("epee_web_viewers") == 1


def test_several_sources_are_tabs(show: Any, visit: Any) -> None:
    show()
    page = visit(show(name="yard").url)
    shown(page)
    assert page.locator("#sources button").all_inner_texts() == ["gate", "yard"]
    page.click("#sources button:nth-child(2)")
    until(page, "document.querySelector('#facts').innerText.includes('yard')")
    index = page.evaluate(INDEX)
    until(page, f"({INDEX})() !== {index}")
    assert page.get_attribute("#sources button:nth-child(2)", "aria-current") == "true"


def test_the_token_leaves_the_address_and_the_page_still_works(show: Any, visit: Any,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPEE_WEB_TOKEN", "a-token-nobody-guesses")
    showing = show("web:127.0.0.1:0")
    page = visit(showing.url + "?token=a-token-nobody-guesses")
    assert min(shown(page)) > 30
    assert page.url == showing.url
    assert "nobody-guesses" not in page.content()
    page.reload()
    assert min(shown(page)) > 30
