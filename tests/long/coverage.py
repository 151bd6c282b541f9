"""Prints the coverage in an lcov file: coverage.py FILE [--write]. Called by coverage.sh.

The table lists the files below 100 %. The script prints the lines that did not run but leaves them
out of the table, because their numbers change with each commit.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REPORT = ROOT / "docs" / "RELIABILITY.md"
BEGIN, END = "<!-- coverage -->\n", "<!-- /coverage -->\n"


def counts(lcov):
    """Returns for each file below src/ how often each line ran."""
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
    """Returns the lines without the unit tests at the end of the file."""
    text = (ROOT / path).read_text().splitlines()
    tests = next((n for n, line in enumerate(text, 1) if line.startswith("#[cfg(test)]")), len(text) + 1)
    return {number: count for number, count in lines.items() if number < tests}


def spans(numbers):
    """Formats line numbers as "12, 14–16"."""
    found = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in found)


def missing_lines(files):
    """Yields each file with code, the number of its lines and the lines that did not run."""
    for path, lines in sorted(files.items()):
        lines = code(path, lines)
        if lines and "tests" not in path.with_suffix("").parts:
            yield path.relative_to("src"), len(lines), [number for number, count in lines.items() if count == 0]


def percent(lines, missing):
    return f"{100 * (lines - missing) / lines:.1f}"


def table(rows):
    head = "| file | lines run, % |\n|---|---|\n"
    below = [f"| `{name}` | {percent(lines, len(missing))} |\n" for name, lines, missing in rows if missing]
    total = sum(lines for _, lines, _ in rows)
    return head + "".join(below) + f"| all {total} lines | {percent(total, sum(len(row[2]) for row in rows))} |\n"


def main():
    rows = list(missing_lines(counts(pathlib.Path(sys.argv[1]))))
    for name, _, missing in rows:
        if missing:
            print(f"{name}: {spans(missing)}")
    text = table(rows)
    print(text, end="")
    if "--write" in sys.argv:
        report = REPORT.read_text()
        between = re.escape(BEGIN) + ".*" + re.escape(END)
        REPORT.write_text(re.sub(between, lambda _: BEGIN + text + END, report, flags=re.DOTALL))


main()
