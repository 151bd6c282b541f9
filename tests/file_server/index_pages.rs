//! The listings of the example `file_server`, as text. `tests/browser.sh` tests them in a browser.

#[path = "../../examples/file_server/index.rs"]
mod index;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, SystemTime};

use index::{By, Entry, IndexPage, Json, Kind, Order, sort};

fn file(name: impl AsRef<[u8]>, size: u64) -> Entry {
    Entry {
        name: OsString::from_vec(name.as_ref().to_vec()),
        kind: Kind::File,
        size,
        modified: None,
    }
}

fn folder(name: &str) -> Entry {
    Entry { kind: Kind::Directory, ..file(name, 4096) }
}

fn page(path: &[u8], entries: &mut [Entry]) -> String {
    let order = Order::default();
    sort(entries, order);
    let page = IndexPage { path, entries, order };
    page.to_string()
}

/// Returns the listing of `/` with this file only.
fn page_with(name: impl AsRef<[u8]>) -> String {
    page(b"/", &mut [file(name, 0)])
}

#[track_caller]
fn assert_has(page: &str, part: &str) {
    let body = page.split_once("</style>").map_or(page, |(_, body)| body);
    assert!(body.contains(part), "no {part:?} in {body}");
}

/// Returns the names in the order of the listing.
fn order(mut entries: Vec<Entry>) -> Vec<String> {
    let page = page(b"/", &mut entries);
    let rows = page.split("<li").skip(1);
    let names = rows.filter_map(|row| row.split_once("<bdi>")?.1.split_once("</bdi>"));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[track_caller]
fn assert_order(names: &[&str]) {
    let mut reversed: Vec<Entry> = names.iter().map(|name| file(name, 0)).collect();
    reversed.reverse();
    assert_eq!(order(reversed), names);
}

#[test]
fn names_are_escaped() {
    let page = page_with("<script>alert(\"1\")&'.txt");
    assert_has(&page, "<bdi>&lt;script&gt;alert(&quot;1&quot;)&amp;&#39;.txt</bdi>");
    assert!(!page.contains("<script"));
}

#[test]
fn links_encode_every_character_that_has_a_meaning() {
    let links = [
        ("a b.txt", "./a%20b.txt"),
        ("100%.txt", "./100%25.txt"),
        ("a#b?c=d", "./a%23b%3Fc%3Dd"),
        ("\"x\" onclick='y'", "./%22x%22%20onclick%3D%27y%27"),
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ("-._~", "./-._~"),
        ("back\\slash", "./back%5Cslash"),
        ("größe", "./gr%C3%B6%C3%9Fe"),
    ];
    for (name, link) in links {
        assert_has(&page_with(name), &format!("<a href=\"{link}\">"));
    }
}

#[test]
fn a_name_that_is_not_utf_8_has_a_link() {
    let page = page_with(b"caf\xe9.txt");
    assert_has(&page, "<a href=\"./caf%E9.txt\"><bdi>caf\u{fffd}.txt</bdi></a>");
}

#[test]
fn a_name_cannot_change_the_direction_of_the_text_around_it() {
    let page = page_with("photo\u{202e}gpj.exe");
    assert_has(&page, "<bdi>photo\u{fffd}gpj.exe</bdi>");
    assert_has(&page_with("a\u{2069}b\nc\x7f"), "<bdi>a\u{fffd}b␊c␡</bdi>");
    // Names in right-to-left scripts need none of these control characters.
    assert_has(&page_with("שלום.txt"), "<bdi>שלום.txt</bdi>");
}

#[test]
fn names_are_in_natural_order() {
    assert_order(&["img1.png", "img2.png", "img10.png"]);
    assert_order(&["1", "1a", "02", "2", "10", "a"]);
    assert_order(&["Apple", "banana", "Cherry", "äpfel", "Äpfel2"]);
    assert_order(&["A", "a", "B", "b"]);
    assert_order(&["v1.2.9", "v1.2.10", "v1.10.0", "v2"]);
    assert_order(&["99999999999999999999999999999998", "99999999999999999999999999999999"]);
}

#[test]
fn directories_come_first_and_end_in_a_slash() {
    let entries = vec![file("a", 1), folder("z"), file("b", 1), folder("Y")];
    assert_eq!(order(entries), ["Y/", "z/", "a", "b"]);
}

#[test]
fn sizes_are_rounded_with_the_exact_size_as_title() {
    let sizes = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 20, "5.0 MiB"),
        (u64::MAX, "16.0 EiB"),
    ];
    for (size, human) in sizes {
        let page = page(b"/", &mut [file("x", size)]);
        let data = format!("<data value={size} title=\"{size} bytes\">{human}</data>");
        assert_has(&page, &data);
    }
    assert!(!page(b"/", &mut [folder("x")]).contains("<data"));
}

#[test]
fn dates_are_utc_and_missing_dates_are_left_out() {
    let at = |seconds: i64| match u64::try_from(seconds) {
        Ok(seconds) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
        Err(_) => SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs())),
    };
    let page_at = |seconds| {
        let mut entry = file("x", 0);
        entry.modified = at(seconds);
        page(b"/", &mut [entry])
    };
    assert_has(&page_at(1_700_000_000), ">2023-11-14 22:13</time>");
    assert_has(&page_at(1_700_000_000), "datetime=2023-11-14T22:13:20Z");
    assert_has(&page_at(-1), ">1969-12-31 23:59</time>");
    assert!(!page_at(i64::MAX / 2).contains("<time"), "a date outside the range of years");
    assert!(!page_with("x").contains("<time"));
}

#[test]
fn the_path_links_to_each_parent() {
    let page = page(b"/a b/<c>/d/", &mut []);
    assert_has(&page, "<a href=\"../../../\"><bdi>Home</bdi></a>");
    assert_has(&page, "<a href=\"../../\"><bdi>a b</bdi></a>");
    assert_has(&page, "<a href=\"../\"><bdi>&lt;c&gt;</bdi></a>");
    assert_has(&page, "<bdi aria-current=page>d</bdi>");
    assert_has(&page, "<a href=\"../\">Parent folder</a>");
    assert!(page.contains("<title>Index of /a b/&lt;c&gt;/d/</title>"));
}

#[test]
fn empty_segments_of_the_path_are_counted_and_not_shown() {
    let page = page(b"//evil.example//x/", &mut []);
    assert_has(&page, "<a href=\"../../../../\"><bdi>Home</bdi></a>");
    assert_has(&page, "<a href=\"../../\"><bdi>evil.example</bdi></a>");
    assert!(!page.contains("<bdi></bdi>"));
}

#[test]
fn the_root_has_no_parent() {
    let page = page(b"/", &mut []);
    assert_has(&page, "<bdi aria-current=page>Home</bdi>");
    assert_has(&page, "This folder is empty.");
    assert!(!page.contains("../"));
}

#[test]
fn a_summary_counts_entries_and_bytes() {
    let mut entries = [folder("a"), file("b", 1 << 20), file("c", 512 << 10)];
    assert_has(&page(b"/", &mut entries), "<p>1 folder, 2 files, 1.5 MiB</p>");
    assert_has(&page(b"/", &mut [file("b", 7), file("c", u64::MAX)]), "<p>2 files, 16.0 EiB</p>");
    assert_has(&page(b"/", &mut [folder("a")]), "<p>1 folder</p>");
}

#[test]
fn an_entry_takes_less_than_256_bytes() {
    let mut entries: Vec<Entry> = (0..5000).map(|n| file(format!("{n}.txt"), n)).collect();
    for entry in &mut entries {
        entry.modified = Some(SystemTime::now());
    }
    let page = page(b"/", &mut entries);
    assert_eq!(page.matches("<li>").count(), 5000);
    assert!(page.len() < 256 * 5000, "{} bytes", page.len());
}

/// Asserts the order of a listing with this query. Directories come first.
#[track_caller]
fn assert_sorted(query: &str, names: &[&str]) {
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let mut entries = [folder("z"), file("a", 5), file("b", 1), file("c", 3), folder("y")];
    for (entry, seconds) in entries.iter_mut().zip([1, 2, 9, 4, 8]) {
        entry.modified = at(seconds);
    }
    sort(&mut entries, Order::read(query));
    let sorted = entries.iter().map(|entry| entry.name.to_str());
    assert!(sorted.eq(names.iter().map(|name| Some(*name))), "{query}");
}

#[test]
fn entries_are_sorted_by_name_size_or_date() {
    assert_sorted("", &["y", "z", "a", "b", "c"]);
    assert_sorted("sort=name", &["y", "z", "a", "b", "c"]);
    assert_sorted("sort=-name", &["z", "y", "c", "b", "a"]);
    assert_sorted("sort=size", &["y", "z", "b", "c", "a"]);
    assert_sorted("x=1&sort=-size", &["y", "z", "a", "c", "b"]);
    assert_sorted("sort=date", &["z", "y", "a", "c", "b"]);
    assert_sorted("sort=-date", &["y", "z", "b", "c", "a"]);
    assert_sorted("sort=colour&sort=", &["y", "z", "a", "b", "c"]);
}

#[test]
fn a_listing_shows_its_order_and_time_zone() {
    let order = Order { by: By::Size, descending: false };
    let entries = &[file("a", 1)][..];
    let page = IndexPage { path: b"/", entries, order };
    let page = page.to_string();
    assert_has(&page, "<button name=sort value=-size aria-pressed=true>size</button>");
    assert_has(&page, "<button name=sort value=name>name</button>");
    assert_has(&page, "times are in UTC");
}

#[test]
fn json_escapes_names_and_links_to_each() {
    let mut strange = file(b"\"\\\n\xff", 7);
    strange.modified = Some(SystemTime::UNIX_EPOCH);
    let json = Json(&[folder("d"), strange]).to_string();
    let lines: Vec<&str> = json.lines().collect();
    let expected = [
        "[",
        r#"{"name":"d","type":"directory","href":"./d/"},"#,
        concat!(
            r#"{"name":"\"\\\u000a"#,
            "\u{fffd}",
            r#"","type":"file","href":"./%22%5C%0A%FF","size":7,"mtime":"1970-01-01T00:00:00Z"}"#
        ),
        "]",
    ];
    assert_eq!(lines, expected);
    assert_eq!(Json(&[]).to_string(), "[\n]\n");
}
