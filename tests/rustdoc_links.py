#!/usr/bin/env python3
"""Checks the HTML of `cargo doc`: every relative link, anchor and image must exist.

Usage: tests/rustdoc_links.py [target/doc]
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors and the references of one page."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.ids = set()
        self.references = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        for name in ("id", "name"):
            if attributes.get(name):
                self.ids.add(attributes[name])
        for name in ("href", "src"):
            if attributes.get(name):
                self.references.append((tag, attributes[name]))


def is_line_anchor(fragment):
    """Source pages create the anchors of their lines by a script."""
    return all(part.isdigit() for part in fragment.split("-"))


def broken_references(root, crate):
    pages = {}

    def page(path):
        if path not in pages:
            pages[path] = Page(path)
        return pages[path]

    checked = 0
    for path in sorted([*(root / crate).rglob("*.html"), *(root / "src" / crate).rglob("*.html")]):
        for tag, reference in page(path).references:
            url = urlsplit(reference)
            if url.scheme == "data":
                continue
            if url.scheme in ("http", "https", "mailto") and tag != "img":
                continue
            checked += 1
            if url.scheme or url.netloc:
                yield path, f"{tag} loads {reference} from another host"
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield path, f"{tag} refers to {reference}, which does not exist"
            elif url.fragment and target.suffix == ".html":
                # rustdoc percent-encodes the ids of implementations, but not all ids.
                anchors = {url.fragment, unquote(url.fragment)}
                if not anchors & page(target).ids and not is_line_anchor(url.fragment):
                    yield path, f"{tag} refers to {reference}, which has no such anchor"
    if checked < 1000:
        yield root, f"only {checked} references: is this the output of cargo doc?"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "target/doc").resolve()
    broken = 0
    for path, fault in broken_references(root, "sendloop"):
        print(f"{path.relative_to(root)}: {fault}")
        broken += 1
    sys.exit(f"{broken} broken references" if broken else 0)


if __name__ == "__main__":
    main()
