#!/usr/bin/env bash
# Tests the example file_server in Chromium: its pages, links, images, and a seek in a video.
set -euo pipefail
cd "$(dirname "$0")/.."
need() { echo "$1 is needed: $2" >&2; exit 1; }
command -v chromium >/dev/null && command -v chromedriver >/dev/null || need chromium "apt-get install chromium chromium-driver"
python3 -c 'import selenium, imageio_ffmpeg' 2>/dev/null || need selenium "pip install selenium imageio-ffmpeg"
cargo build --quiet --locked --release --example file_server
timeout 120 python3 tests/browser.py target/release/examples/file_server
