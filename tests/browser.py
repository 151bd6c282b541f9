"""Tests the example file_server in Chromium: browser.py FILE_SERVER. Called by browser.sh."""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

import imageio_ffmpeg
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

TIMEOUT = 30
# Names with characters that have a meaning in URLs or HTML.
ODD = ["a b", "50%", "what?", "#1", "<b>&amp;", '"quoted"', "javascript:alert(1)", "ünï", "dots..", "a+b;c=d"]
ODD_NAMES = [f"{name}.txt" for name in ODD]


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x20\x80\xc0" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def make_video(path):
    """Makes a minute of noise, so large that the browser does not fetch it all before the seek."""
    source = "nullsrc=size=320x240:rate=10:duration=60,geq=random(1)*255:128:128"
    codec = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "6M", "-g", "20"]
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-loglevel", "error", "-f", "lavfi", "-i", source, *codec, path], check=True)
    assert path.stat().st_size > 8 << 20, path.stat().st_size


def make_site(site):
    (site / "folder").mkdir(parents=True)
    (site / "folder" / "inside.txt").write_text("inside\n")
    (site / "picture.png").write_bytes(png(37, 23))
    (site / "kilobytes.bin").write_bytes(bytes(12345))
    (site / ("long" * 50)).write_text("long\n")
    (site / ".hidden").write_text("hidden\n")
    make_video(site / "video.webm")
    for name in ODD_NAMES:
        (site / name).write_text(f"this is {name}\n")


def browser(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    switches = """headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking
        disable-component-update disable-sync disable-dev-shm-usage"""
    for switch in switches.split():
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--autoplay-policy=no-user-gesture-required")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(TIMEOUT)
    driver.set_script_timeout(TIMEOUT)
    return driver


def responses(driver):
    """Returns the responses that the browser received since the last call."""
    messages = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return [m["params"]["response"] for m in messages if m["method"] == "Network.responseReceived"]


def link(driver, name):
    found = [a for a in driver.find_elements(By.CSS_SELECTOR, "a") if a.text.rstrip("/") == name]
    assert len(found) == 1, f"{len(found)} links are named {name!r}, expected 1"
    return found[0]


def check_index(driver, url):
    driver.get(url)
    text = driver.find_element(By.TAG_NAME, "body").text
    for name in ["folder", "picture.png", "kilobytes.bin", *ODD_NAMES]:
        assert name in text, f"{name!r} is not in the listing"
    assert ".hidden" not in text
    assert "12" in driver.find_element(By.XPATH, "//*[contains(text(), 'kilobytes.bin')]/ancestor::*[2]").text
    assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]


def check_links(driver, url):
    link(driver, "folder").click()
    WebDriverWait(driver, TIMEOUT).until(lambda d: d.current_url == f"{url}folder/")
    link(driver, "inside.txt").click()
    WebDriverWait(driver, TIMEOUT).until(lambda d: "inside" in d.find_element(By.TAG_NAME, "body").text)
    driver.back()
    driver.back()
    WebDriverWait(driver, TIMEOUT).until(lambda d: d.current_url == url)
    for name in ODD_NAMES:
        link(driver, name).click()
        WebDriverWait(driver, TIMEOUT).until(lambda d: f"this is {name}" in d.find_element(By.TAG_NAME, "body").text)
        driver.back()
        WebDriverWait(driver, TIMEOUT).until(lambda d: d.current_url == url)


def check_image(driver, url):
    driver.get(url + "picture.png")
    size = driver.execute_script("const i = document.images[0]; return [i.naturalWidth, i.naturalHeight]")
    assert size == [37, 23], size


def check_seek(driver, url):
    responses(driver)
    driver.get(url + "video.webm")
    seek = """
        const done = arguments[0], video = document.querySelector("video");
        const go = () => {
            video.pause();
            video.addEventListener("seeked", () => done([video.currentTime, video.duration]), { once: true });
            video.currentTime = 55;
        };
        video.addEventListener("error", () => done(video.error.message));
        if (video.readyState >= 1) go(); else video.addEventListener("loadedmetadata", go, { once: true });
    """
    at = driver.execute_async_script(seek)
    assert isinstance(at, list) and abs(at[0] - 55) < 0.1 and at[1] > 59, at
    ranges = [(r["status"], r["headers"].get("Content-Range", "")) for r in responses(driver) if r["url"].endswith("video.webm")]
    starts = [int(value.split()[1].split("-")[0]) for status, value in ranges if status == 206]
    assert starts and max(starts) > 4 << 20, f"no request for a range after 4 MiB: {ranges}"


def check_reload(driver, url):
    target = url + "kilobytes.bin"
    # The script bypasses the browser's cache and revalidates by itself.
    script = """
        const [url, done] = arguments;
        fetch(url, { cache: "no-store" })
            .then(first => fetch(url, { cache: "no-store", headers: { "If-None-Match": first.headers.get("ETag") } }))
            .then(second => done(second.status), error => done(String(error)));
    """
    # The content security policy of a listing forbids requests of scripts, so this opens a picture.
    driver.get(url + "picture.png")
    status = driver.execute_async_script(script, target)
    assert status == 304, status
    responses(driver)
    driver.refresh()
    statuses = [r["status"] for r in responses(driver) if r["url"].endswith("picture.png")]
    assert statuses in ([304], [200]), statuses


def check_phone(driver, url):
    metrics = {"width": 360, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get(url)
    widths = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= 360 and widths[1] == 360, f"the page is {widths[0]} pixels wide in a window of {widths[1]}, expected at most 360 in 360"


def main(program):
    with tempfile.TemporaryDirectory() as work:
        site = pathlib.Path(work, "site")
        make_site(site)
        command = [program, site, "--addr", "127.0.0.1:0", "--log", "off", "--charset", "utf-8"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            url = server.stdout.readline().removeprefix("listening on ").strip() + "/"
            driver = browser(pathlib.Path(work, "profile"))
            try:
                for check in [check_index, check_links, check_image, check_seek, check_reload, check_phone]:
                    check(driver, url)
            finally:
                driver.quit()
        finally:
            server.kill()
            server.wait()
    print(f"browser: a listing, {len(ODD_NAMES)} odd names, an image, a seek in a video, a reload, a phone")


main(*sys.argv[1:])
