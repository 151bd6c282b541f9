#!/usr/bin/env python3
"""The table of coverage from an lcov file: coverage.py FILE [--write]. See coverage.sh."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REPORT = ROOT / "docs" / "RELIABILITY.md"
BEGIN, END = "<!-- coverage -->\n", "<!-- /coverage -->\n"


def counts(lcov):
    """For each file below src/, how often each line ran."""
    files, lines = {}, None
    for record in lcov.read_text().splitlines():
        kind, _, rest = record.partition(":")
        if kind == "SF":
            path = pathlib.Path(rest)
            inside = path.is_relative_to(ROOT / "src")
            lines = files.setdefault(path.relative_to(ROOT), {}) if inside else None
        elif kind == "DA" and lines is not None:
            number, count = map(int, rest.split(",")[:2])
            lines[number] = max(count, lines.get(number, 0))
    return files


def code(path, lines):
    """Without unit tests, which stand at a file's end."""
    text = (ROOT / path).read_text().splitlines()
    tests = next((n for n, line in enumerate(text, 1) if line.startswith("#[cfg(test)]")), len(text) + 1)
    return {number: count for number, count in lines.items() if number < tests}


def spans(numbers):
    """12, 14-16"""
    found = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in found)


def table(files):
    rows, all_lines, all_run = [], 0, 0
    for path, lines in sorted(files.items()):
        if "tests" in path.with_suffix("").parts:
            continue
        lines = code(path, lines)
        missing = [number for number, count in lines.items() if count == 0]
        run = len(lines) - len(missing)
        all_lines, all_run = all_lines + len(lines), all_run + run
        if lines:
            name = path.relative_to("src")
            rows.append(f"| `{name}` | {len(lines)} | {100 * run / len(lines):.1f} | {spans(missing) or '–'} |\n")
    head = "| file | lines | run, % | lines that did not run |\n|---|---|---|---|\n"
    total = f"| all | {all_lines} | {100 * all_run / all_lines:.1f} | |\n"
    return head + "".join(rows) + total


def main():
    text = table(counts(pathlib.Path(sys.argv[1])))
    print(text, end="")
    if "--write" in sys.argv:
        report = REPORT.read_text()
        between = re.escape(BEGIN) + ".*" + re.escape(END)
        REPORT.write_text(re.sub(between, lambda _: BEGIN + text + END, report, flags=re.DOTALL))


main()
