//! Runs a server on a loop and the clients, and compares the resources before and after.

use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use sendloop::{Loop, Task};

use super::clients::{LAST_VISITS, run_clients};
use super::held::{Held, threads};
use super::limit::Limit;
use super::live::live;
use super::outcomes::check_outcomes;
use super::plan::Plan;
use super::queue::dropped;
use super::server::{Server, file};
use super::tally::Tally;
use crate::util::{new_loop, run_until, test_within};

/// The number of the server's own tasks: one accepts, and one records the peak.
const OWN_TASKS: usize = 2;

/// The most bytes that allocated memory may grow after the second round.
///
/// Each task of the peak adds a little, because a loop keeps the capacity of its tables.
const MAX_DIFFERENCE: usize = 64 << 10;
const KEPT: usize = 64;

struct Running {
    event_loop: Loop,
    server: Rc<Server>,
    _tasks: [Task<()>; OWN_TASKS],
}

impl Running {
    fn start(plan: &Plan, path: &std::path::Path) -> Running {
        let event_loop = new_loop();
        let time_limit = plan.pace().time_limit;
        let server = Server::new(event_loop.handle(), path.to_owned(), time_limit);
        let server = Rc::new(server);
        let tasks = [
            event_loop.create_task(server.clone().serve()),
            event_loop.create_task(server.clone().record_peak()),
        ];
        Running { event_loop, server, _tasks: tasks }
    }

    /// Runs the clients and the server for one round.
    ///
    /// It returns the clients' tally and the resources that are held after it.
    fn round(&self, plan: &Plan) -> (Tally, Held) {
        let (addr, plan) = (self.server.addr(), *plan);
        let clients = self.event_loop.run_in_executor(move || run_clients(addr, &plan));
        let output = self.event_loop.run_until_complete(clients);
        let output = output.expect("no panic");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}\n{printed}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let start = Instant::now();
        run_until(&self.event_loop, || {
            let tasks = self.event_loop.stats().tasks;
            let is_over = tasks == OWN_TASKS && !self.server.is_awaited();
            is_over || start.elapsed() > LAST_VISITS / 4
        });
        (Tally::parse(&printed), Held::now(&self.event_loop))
    }
}

/// Prints a report, and returns the bytes that the test harness allocates to capture it.
fn print(report: &str) -> usize {
    let before = live();
    println!("{report}");
    live().saturating_sub(before)
}

/// Runs a short round first, which creates what the process keeps. The other round must leave no
/// more.
#[track_caller]
fn soak(plan: Plan) {
    let _test = test_within(2 * (Duration::from_secs(plan.seconds) + LAST_VISITS));
    let file = file();
    let _limit = Limit::set(plan.descriptors);
    let (allocated, alone) = (live(), threads());
    let running = Running::start(&plan, file.path());
    let before = Held::now(&running.event_loop);
    let first = Plan { seconds: plan.seconds.div_ceil(10).min(10), ..plan };
    let dropped_before = dropped();
    let (clients, between) = running.round(&first);
    let second = Plan { seed: plan.seed + 1, ..plan };
    let (more_clients, after) = running.round(&second);
    let lost = dropped() - dropped_before;
    clients.merge(&more_clients);
    let server = &running.server;
    let report = [
        format!("{plan:?}\nclients: {clients}\nserver: {}", server.tally),
        format!("lost in queues: {lost}\nat most: {}", server.peak.get()),
        format!("before: {before}\nbetween: {between}\nafter: {after}"),
        format!("{:?}", running.event_loop.stats()),
    ];
    let kept_back = print(&report.join("\n"));

    assert_eq!(server.problems(), [""; 0]);
    for held in [between, after] {
        assert_eq!(held.descriptors, before.descriptors, "descriptors");
        assert_eq!(held.tasks, OWN_TASKS, "tasks");
        assert_eq!(held.registered, 1, "the listener alone is in the poller");
    }
    let kept = MAX_DIFFERENCE + KEPT * server.peak.get().tasks;
    assert!(after.live <= between.live + kept, "memory");
    check_outcomes(&plan, &clients, &server.tally, lost);
    drop((running, clients, more_clients, report));
    // A dropped loop does not wait for its executor's threads. They keep their resources until they
    // end.
    let start = Instant::now();
    while threads() > alone && start.elapsed() < LAST_VISITS {
        thread::yield_now();
    }
    let left = live().saturating_sub(allocated + kept_back);
    println!("after the loop's end: {left} bytes");
    assert!(left < 4 << 10, "{left} bytes left by the loop");
}

#[test]
fn few_descriptors() {
    soak(Plan::from_environment(3, 64, 200));
}

#[test]
fn descriptors_for_all() {
    soak(Plan::from_environment(3, 1200, 300));
}
