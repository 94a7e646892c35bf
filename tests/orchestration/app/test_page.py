"""The page in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from posegen.io.video_reader import read_video

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'posegen[test]'"
)
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
    pytest.mark.timeout(600),
]
_SLOWEST = 240_000  # milliseconds: machines with many tests at once


@pytest.fixture(scope="module")
def address(tmp_path_factory, actor) -> Iterator[str]:
    """A served page, with the actions of a trained model beside its own."""
    command = [
        sys.executable,
        "-c",
        "from orchestration.cli.main import main; main()",
        "app",
        "--port",
        "0",
        "--no-browser",
        "--actors",
        actor,
    ]
    environment = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("app")), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        yield server.stdout.readline().removeprefix("the page: ").partition(";")[0]
        server.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, address) -> Iterator[object]:
    """The page, of which every error and every request elsewhere is collected."""
    opened = browser.new_page(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    opened.set_default_timeout(_SLOWEST)
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("request", lambda one: one.url.startswith((address, "data:", "blob:")) or opened.faults.append(one.url))
    opened.goto(address)
    opened.wait_for_selector("body[data-ready]")
    yield opened
    opened.close()


def give_photo(page, photo: bytes) -> None:
    page.set_input_files("#person-file", {"name": "bruno.png", "mimeType": "image/png", "buffer": photo})
    page.wait_for_selector("#person-seen:visible")
    page.wait_for_selector("#still-after:visible")


def test_a_photo_a_colour_an_action_and_a_download(page, bruno, tmp_path):
    give_photo(page, bruno)
    assert page.locator(".outline").count() == 2 and page.locator(".bone").count() > 10
    page.locator('.outline[data-garment="lower"]').dispatch_event("click")
    assert page.locator('.chip[data-garment="lower"]').get_attribute("aria-checked") == "true"
    before = page.get_attribute("#still-after", "src")
    page.click('.swatch[aria-label="teal"]')
    page.locator("#color-report", has_text="Bottom: #008080 teal, measured ΔE").wait_for()
    assert page.get_attribute("#still-after", "src") != before == page.get_attribute("#still-before", "src")
    assert page.is_disabled("#draw")
    page.fill("#length", "1")
    page.click('.action[data-action="wave"]')
    page.locator("#cli", has_text="--action wave --frames 25 --lower '#008080'").wait_for(state="attached")
    page.click("#draw")  # also while a still is being drawn
    page.wait_for_selector("#film-canvas:visible")
    page.wait_for_selector("#film-video:visible")
    with page.expect_download() as download:
        page.click("#get-mp4")
    download.value.save_as(tmp_path / "out.mp4")
    assert download.value.suggested_filename == "posegen-wave-008080.mp4"
    assert read_video(tmp_path / "out.mp4", size=None).images.shape == (25, 384, 256, 3)
    with page.expect_download() as sheet:
        page.click("#get-sheet")
    assert sheet.value.suggested_filename == "posegen-colours.png"
    assert not page.faults


def test_an_action_of_a_trained_model_becomes_a_video(page, bruno, actor):
    give_photo(page, bruno)
    assert page.locator("#model option").all_text_contents()[1:] == ["two-actions"]
    built_in = page.locator(".action").count()
    page.select_option("#model", label="two-actions")
    assert page.locator(".action").count() == 2 < built_in
    page.fill("#length", "1")
    page.click('.action[data-action="tai chi"]')
    page.locator("#cli", has_text=f"--action 'tai chi' --actor {actor} --frames 20").wait_for(state="attached")
    page.click("#draw")
    page.wait_for_selector("#film-video:visible")
    page.select_option("#model", index=0)
    assert page.locator(".action").count() == built_in
    page.click('.action[data-action="wave"]')
    page.locator("#cli", has_text="--action wave --frames 25").wait_for(state="attached")
    assert not page.faults


def test_keys_reach_everything_and_what_is_wrong_is_said(page, bruno):
    page.set_input_files("#person-file", {"name": "a.svg", "mimeType": "image/svg+xml", "buffer": b"<svg></svg>"})
    page.locator("#alert", has_text="This is a drawing").wait_for()
    assert page.get_attribute("#alert", "role") == "alert"
    give_photo(page, bruno)
    assert page.is_hidden("#alert")
    page.focus('.swatch[tabindex="0"]')
    page.keyboard.press("ArrowRight")
    assert page.locator('.swatch[aria-checked="true"]').count() == 1
    page.focus('.action[data-action="squat"]')
    page.keyboard.press("Enter")
    assert page.get_attribute('.action[data-action="squat"]', "aria-pressed") == "true"
    page.locator("#cli", has_text="--action squat").wait_for(state="attached")
    page.focus("#draw")
    page.keyboard.press("Enter")
    page.wait_for_selector("#cancel:visible")
    page.focus("#cancel")
    page.keyboard.press("Enter")
    page.wait_for_selector("#cancel", state="hidden")
    assert page.evaluate("document.activeElement.id") == "draw"
    assert not page.faults


@pytest.mark.parametrize("width", [390, 760, 1280])
def test_nothing_is_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_moving_pictures_stand_still_where_that_is_preferred(page):
    strip = "getComputedStyle(document.querySelector('.strip')).animationPlayState"
    assert page.evaluate(strip) == "paused" and page.get_attribute("#pause-strips", "aria-pressed") == "true"
    page.click("#pause-strips")
    assert page.get_attribute("#pause-strips", "aria-pressed") == "false"
    assert page.evaluate(strip) == "running"


def test_a_closed_page_leaves_no_photo(browser, address, bruno, tmp_path_factory):
    folder = Path(next(tmp_path_factory.getbasetemp().glob("app*")))
    opened = browser.new_page()
    opened.set_default_timeout(_SLOWEST)
    opened.goto(address)
    opened.wait_for_selector("body[data-ready]")
    before = len(list(folder.rglob("*.png")))
    give_photo(opened, bruno)
    assert len(list(folder.rglob("*.png"))) == before + 1
    opened.goto("about:blank")
    for _ in range(1200):  # the step under way is done first
        if len(list(folder.rglob("*.png"))) == before:
            break
        opened.wait_for_timeout(100)
    assert len(list(folder.rglob("*.png"))) == before
