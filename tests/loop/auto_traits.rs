//! The auto traits of every public type, checked at compile time, and `must_use`.
//!
//! A change in this table breaks programs: a type that loses a trait, or gains one by accident.

use std::cell::Cell;
use std::fs::{self, File};
use std::marker::{PhantomData, PhantomPinned};
use std::net::TcpStream;
use std::path::Path;
use std::rc::Rc;

use crate::util::test;
use sendloop::*;

/// A constant that is true if a type has a trait.
///
/// An inherent constant, if its bounds hold, comes before that of a trait.
macro_rules! has {
    ($type:ty, $trait:path) => {{
        #[allow(dead_code, reason = "used only for types without the trait")]
        trait Otherwise {
            const HAS: bool = false;
        }
        #[allow(dead_code, reason = "only its constants are used")]
        struct Probe<T>(PhantomData<T>);
        impl<T> Otherwise for Probe<T> {}
        #[allow(dead_code, reason = "used only for types that have the trait")]
        impl<T: $trait> Probe<T> {
            const HAS: bool = true;
        }
        <Probe<$type>>::HAS
    }};
}

macro_rules! auto_traits {
    ($($type:ty: $send:ident $sync:ident $unpin:ident,)*) => {
        $(const _: () = {
            assert!(has!($type, Send) == $send, concat!(stringify!($type), ": Send"));
            assert!(has!($type, Sync) == $sync, concat!(stringify!($type), ": Sync"));
            assert!(has!($type, Unpin) == $unpin, concat!(stringify!($type), ": Unpin"));
        };)*
        /// The types of the table.
        const TYPES: &[&str] = &[$(stringify!($type)),*];
    };
}

const YES: bool = true;
const NO: bool = false;

/// `Send`, `Sync` and `Unpin`.
type Plain = u8;
/// `Send` and `Unpin`, but not `Sync`.
type NotSync = Cell<u8>;
/// Only `Unpin`.
type Local = Rc<u8>;
/// Not `Unpin`.
type Pinned = PhantomPinned;

auto_traits! {
    //                                   Send Sync Unpin
    Address:                             YES  YES  YES,
    Blocking<Plain>:                     YES  YES  YES,
    Blocking<NotSync>:                   YES  YES  YES,
    Blocking<Local>:                     NO   NO   YES,
    Blocking<Pinned>:                    YES  YES  YES,
    Builder:                             YES  YES  YES,
    CancelHandle:                        NO   NO   YES,
    Clock:                               YES  YES  YES,
    ExceptionContext:                    YES  NO   YES,
    Fallbacks:                           YES  YES  YES,
    Handle:                              NO   NO   YES,
    Loop:                                NO   NO   YES,
    LoopClosedError:                     YES  YES  YES,
    LoopHandle:                          NO   NO   YES,
    Promise<Plain>:                      NO   NO   YES,
    Promise<Pinned>:                     NO   NO   YES,
    PromiseFuture<Plain>:                NO   NO   YES,
    PromiseFuture<Pinned>:               NO   NO   YES,
    RawAddress:                          YES  YES  YES,
    Readiness<'static>:                  NO   NO   YES,
    Remote:                              YES  YES  YES,
    SendFile<'static, TcpStream, File>:  NO   NO   YES,
    SendFileFuture<'static, TcpStream>:  NO   NO   YES,
    SendfileNotAvailableError:           YES  YES  YES,
    SendfilePhase:                       YES  YES  YES,
    Signal:                              NO   NO   YES,
    Sleep:                               NO   NO   YES,
    Socket<TcpStream>:                   NO   NO   YES,
    Stats:                               YES  YES  YES,
    Task<Plain>:                         NO   NO   YES,
    Task<Pinned>:                        NO   NO   YES,
    TaskError:                           YES  YES  YES,
    TaskGroup<Plain>:                    NO   NO   YES,
    TaskGroup<Pinned>:                   NO   NO   YES,
    TimeoutError:                        YES  YES  YES,
    TimerHandle:                         NO   NO   YES,
}

/// The public traits. A trait has no auto traits.
const TRAITS: [&str; 3] = ["Connect", "Datagram", "Listen"];

/// The types and traits that the crate's root exports.
fn exported() -> Vec<&'static str> {
    let root = include_str!("../../src/lib.rs");
    let exports = root.split("pub use ").skip(1);
    let exports = exports.filter_map(|text| text.split_once(';'));
    let words =
        exports.flat_map(|(names, _)| names.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let names = words.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    names.collect()
}

#[test]
fn every_public_type_has_a_row() {
    let _test = test();
    let exported = exported();
    assert!(exported.len() > 20, "found only these names: {exported:?}");
    for name in exported {
        let is = |row: &&&str| row.split(['<', ' ']).next() == Some(name);
        let known = TYPES.iter().any(|row| is(&row)) || TRAITS.contains(&name);
        assert!(known, "{name} is not in the table");
    }
}

/// Types whose unused value is nearly always a mistake. The test finds the futures in the source.
const MUST_USE: [&str; 3] = ["Builder", "Promise", "TaskGroup"];

fn read_sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_sources(&path, text);
        } else {
            text.push_str(&fs::read_to_string(path).expect("readable"));
        }
    }
}

/// Returns the attributes and the documentation of a public struct.
fn attributes_of<'a>(text: &'a str, name: &str) -> &'a str {
    let ends = ["<", " ", ";", "("].map(|end| format!("pub struct {name}{end}"));
    let start = ends.iter().find_map(|end| text.find(end));
    let before = &text[..start.unwrap_or_else(|| panic!("{name} is not found"))];
    &before[before.rfind("\n\n").unwrap_or(0)..]
}

#[test]
fn types_with_meaningful_drop_are_must_use() {
    let _test = test();
    let mut text = String::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    read_sources(&sources, &mut text);
    let is_future = |name: &str| {
        let ends = ["<", " "].map(|end| format!("Future for {name}{end}"));
        ends.iter().any(|end| text.contains(end))
    };
    let names = exported().into_iter();
    // A dropped `Task` keeps running.
    let futures = names.filter(|name| is_future(name) && *name != "Task");
    let all: Vec<&str> = futures.chain(MUST_USE).collect();
    assert!(all.len() >= 8, "found only these futures: {all:?}");
    for name in all {
        assert!(attributes_of(&text, name).contains("#[must_use = "), "{name}");
    }
}
