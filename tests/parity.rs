//! Compares the order of events with CPython's asyncio.
//!
//! Each scenario exists in Python and in Rust, and records the same words in both.
//! `tests/parity/record.py` recorded asyncio's traces in `tests/parity/traces.txt`; it explains how
//! to add one.
//!
//! [`DIFFERENCES`] lists the intended differences with their reasons.

mod util;

#[path = "parity/cancel.rs"]
mod cancel;
#[path = "parity/connections.rs"]
mod connections;
#[path = "parity/datagrams.rs"]
mod datagrams;
#[cfg(target_os = "linux")]
#[path = "parity/events.rs"]
mod events;
#[path = "parity/fd_callbacks.rs"]
mod fd_callbacks;
#[path = "parity/order.rs"]
mod order;
#[path = "parity/scene.rs"]
mod scene;
#[path = "parity/sendfile.rs"]
mod sendfile;
#[path = "parity/signals.rs"]
mod signals;
#[path = "parity/sockets.rs"]
mod sockets;
#[path = "parity/tasks.rs"]
mod tasks;
#[path = "parity/timers.rs"]
mod timers;
#[path = "parity/waits.rs"]
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use scene::{Named, Scene};
use util::{new_loop, test};

const TRACES: &str = include_str!("parity/traces.txt");
#[cfg(target_os = "linux")]
const PAGE: &str = include_str!("../docs/ASYNCIO.md");

const GROUPS: &[(&str, &[&[Named]])] = &[
    ("order", order::ALL),
    ("tasks", tasks::ALL),
    ("waits", waits::ALL),
    ("cancel", cancel::ALL),
    ("timers", timers::ALL),
    ("sockets", sockets::ALL),
    ("connections", connections::ALL),
    ("sendfile", sendfile::ALL),
    ("fd_callbacks", fd_callbacks::ALL),
    ("signals", signals::ALL),
    ("datagrams", datagrams::ALL),
    #[cfg(target_os = "linux")]
    ("events", events::ALL),
];

/// The scenario, sendloop's words, and the reason for the difference from asyncio.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "order/a_task_as_main_runs_fewer_iterations",
        "work a b end",
        "the main future is always its own step; it awaits the task and sees its end an iteration later",
    ),
    (
        "order/a_stopped_main_continues",
        "stopped end",
        "the main future may borrow from its caller, so it cannot outlive the call",
    ),
    (
        "order/an_error_of_main_propagates",
        "error queued end",
        "a panic unwinds at once; queued callbacks wait for the next run",
    ),
    (
        "order/threadsafe_from_another_thread",
        "a b thread end end",
        "the run queue takes no lock: remote calls join its end once an iteration",
    ),
    (
        "tasks/a_waiter_before_a_done_callback",
        "task-0 callback waiter",
        "a task has one waiter, which is woken last; only the callbacks are ordered",
    ),
    (
        "tasks/a_done_callback_has_an_argument",
        "task-0 arguments-0",
        "the result goes to the task's awaiter alone",
    ),
    (
        "waits/zero_timeout_of_a_ready_coroutine",
        "work done",
        "a zero timeout still polls once; asyncio cancels its task before the first step",
    ),
    (
        "waits/wait_for_times_out_on_a_task",
        "timeout work end",
        "a dropped Task is detached; asyncio cancels it",
    ),
    (
        "cancel/in_the_iteration_in_which_it_ends",
        "start cleanup true-true true",
        "the future is dropped at once; asyncio throws into it an iteration later",
    ),
    ("cancel/twice", "start cleanup true false false", "the task is done after the first cancel"),
    (
        "cancel/one_that_awaits_a_task",
        "start start cleanup outer-cancelled end",
        "a dropped Task is detached; asyncio cancels it",
    ),
    (
        "timers/six_equal_deadlines",
        "a b c d e f",
        "equal deadlines keep their order; asyncio's heap promises none",
    ),
    ("timers/sleep_counts_from_the_first_await", "slept timer", "sleep counts from the call"),
    (
        "sockets/the_iteration_in_which_a_receiver_resumes",
        "wait turn-0 got-x turn-1 turn-2 turn-3",
        "an event wakes the task; asyncio's callback sets a future, which wakes it an iteration later",
    ),
    (
        "sockets/two_receivers_of_one_socket",
        "x y",
        "both receivers keep waiting; asyncio forgets the first one",
    ),
    (
        "sockets/a_receiver_cancelled_two_iterations_after_data_arrived",
        "wait got-x false",
        "data is received in the step that returns it; asyncio receives earlier, and a cancel loses it",
    ),
    ("sendfile/a_count_of_zero", "sent-0 at-0", "a count of 0 is no error"),
    (
        "sendfile/an_offset_past_the_end",
        "sent-0 at-2000",
        "the position is always the offset plus the bytes sent",
    ),
    (
        "sendfile/to_a_closed_peer",
        "broken at-0",
        "a connection error is reported; asyncio falls back to reading at the end and succeeds",
    ),
    ("sendfile/cancelled_midway", "cancelled position-exact-true", "the position is always exact"),
    (
        "connections/connecting_after_a_refusal",
        "ECONNREFUSED ECONNREFUSED connected",
        "Linux fails the first connect(2) after a refusal with ECONNABORTED; sendloop calls it again",
    ),
];

fn traces() -> BTreeMap<&'static str, &'static str> {
    let lines = TRACES.lines();
    let traces = lines.map(|line| line.split_once(": ").expect("`name: words`"));
    // The kernel's reports about a descriptor differ between systems. The traces were recorded on
    // Linux.
    let here = traces.filter(|(name, _)| cfg!(target_os = "linux") || !name.starts_with("events/"));
    here.collect()
}

fn scenarios() -> impl Iterator<Item = (String, &'static Named)> {
    GROUPS.iter().flat_map(|(group, lists)| {
        let scenarios = lists.iter().copied().flatten();
        scenarios.map(move |scenario| (format!("{group}/{}", scenario.0), scenario))
    })
}

#[test]
fn every_scenario_matches_asyncio_or_a_listed_difference() {
    let _test = test();
    let traces = traces();
    let mut wrong = Vec::new();
    for (name, (_, run)) in scenarios() {
        let event_loop = new_loop();
        let scene = Scene::new(&event_loop);
        run(&event_loop, &scene);
        // Before the loop is closed, which drops the tasks that are left.
        let words = scene.words();
        let meant = DIFFERENCES.iter().find(|difference| difference.0 == name);
        let expected = meant.map(|meant| meant.1).or(traces.get(&*name).copied());
        if expected.is_some_and(|expected| expected != words) {
            let asyncio = traces.get(&*name).copied().unwrap_or_default();
            wrong.push(format!("{name}\n  asyncio: {asyncio}\n  here:    {words}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn traces_and_scenarios_match_one_to_one() {
    let recorded: BTreeSet<_> = traces().into_keys().map(str::to_owned).collect();
    let here: BTreeSet<_> = scenarios().map(|(name, _)| name).collect();
    let missing: Vec<_> = recorded.symmetric_difference(&here).collect();
    assert!(missing.is_empty(), "only in traces.txt or only in Rust: {missing:?}");
}

/// Returns whether an `events` trace calls the reader and the writer.
#[cfg(target_os = "linux")]
fn called(words: &str) -> [bool; 2] {
    let counts: Vec<&str> = words.split(['-', ' ']).collect();
    let ["reader", reader, "writer", writer, "both", beside_reader, beside_writer] = counts[..]
    else {
        panic!("not the trace of a case: {words}");
    };
    assert_eq!([reader, writer], [beside_reader, beside_writer], "{words}");
    [reader, writer].map(|calls| calls != "0")
}

#[cfg(target_os = "linux")]
#[test]
fn events_table_matches_the_recorded_traces() {
    let cell = |called| if called { "called" } else { "–" };
    let mut rows = 0;
    for (name, words) in traces() {
        if name.starts_with("events/") {
            let [reader, writer] = called(words).map(cell);
            let end = format!("| {reader} | {writer} | `{name}` |");
            let is_there = PAGE.lines().any(|line| line.ends_with(&end));
            assert!(is_there, "no row ends with {end}");
            rows += 1;
        }
    }
    assert_eq!(PAGE.matches(" | `events/").count(), rows, "rows and traces");
}

#[test]
fn every_listed_difference_still_exists() {
    let traces = traces();
    for (name, words, reason) in DIFFERENCES {
        let asyncio = traces.get(name);
        assert!(asyncio.is_some(), "{name} is no scenario");
        assert!(asyncio != Some(words), "{name} does not differ: {reason}");
    }
}
