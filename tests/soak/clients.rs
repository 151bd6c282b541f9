//! The clients. Their process has its own descriptors and memory.

use std::env;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use sendloop::LoopHandle;

use super::limit::Limit;
use super::plan::Plan;
use super::tally::Tally;
use super::visit::{Counted, Visit};
use crate::util::{new_loop, test_within, this_program};

/// The variable with the server's address.
const SERVER: &str = "SENDLOOP_SOAK_SERVER";

/// The time that the last visits may take after the end.
pub(super) const LAST_VISITS: Duration = Duration::from_secs(120);

/// Runs the clients' process, and waits until the last client has disconnected.
pub(super) fn run_clients(addr: SocketAddr, plan: &Plan) -> Output {
    let (_, module) = module_path!().split_once("::").expect("the crate's name");
    let clients = this_program()
        .args(["--exact", &format!("{module}::clients_connect_and_leave"), "--nocapture"])
        .env(SERVER, addr.to_string())
        .envs(plan.environment())
        .stdin(Stdio::null())
        .output();
    clients.expect("a process")
}

/// Runs the clients if the environment names a server. It is not a test.
#[test]
fn clients_connect_and_leave() {
    let Ok(server) = env::var(SERVER) else {
        return;
    };
    let plan = Plan::from_environment(0, 0, 0);
    let _test = test_within(Duration::from_secs(plan.seconds) + LAST_VISITS);
    let _limit = Limit::set(u64::MAX);
    assert!(Limit::now() > plan.clients + 64, "descriptors for the clients");
    let event_loop = new_loop();
    let crowd = Rc::new(Crowd {
        event_loop: event_loop.handle(),
        server: server.parse().expect("an address"),
        plan,
        until: Instant::now() + Duration::from_secs(plan.seconds),
        tally: Tally::default(),
    });
    let tasks: Vec<_> = (0..plan.clients)
        .map(|client| event_loop.create_task(crowd.clone().visit_repeatedly(client)))
        .collect();
    event_loop.run_until_complete(async {
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    println!("\n{}", crowd.tally.lines());
}

struct Crowd {
    event_loop: LoopHandle,
    server: SocketAddr,
    plan: Plan,
    until: Instant,
    tally: Tally,
}

impl Crowd {
    /// Makes visits in sequence, each with its own seed.
    async fn visit_repeatedly(self: Rc<Self>, client: u64) {
        let pace = self.plan.pace();
        let mut rng = Rng::with_seed(!client);
        let mut seed = (self.plan.seed << 48) + (client << 32);
        self.event_loop.sleep(pace.pause(&mut rng)).await;
        while Instant::now() < self.until {
            self.tally.count("visits");
            match Box::pin(self.visit(seed)).await {
                Ok((what, bytes)) => {
                    self.tally.count(what);
                    self.tally.add("bytes", bytes as u64);
                }
                Err(error) => self.note(seed, &error),
            }
            seed += 1;
            self.event_loop.sleep(pace.pause(&mut rng)).await;
        }
    }

    async fn visit(&self, seed: u64) -> io::Result<Counted> {
        let begun = Visit::begin(&self.event_loop, self.server, self.plan.pace(), seed);
        let mut visit = begun.await?;
        visit.make().await
    }

    /// Records a connection that ended before its client did.
    ///
    /// The client was too slow, or the kernel dropped the connection in a full queue. The server's
    /// tally has its own ends.
    fn note(&self, seed: u64, error: &io::Error) {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => self.tally.count("reset"),
            ErrorKind::UnexpectedEof => self.tally.count("ended early"),
            ErrorKind::TimedOut => self.tally.count("never answered"),
            ErrorKind::AddrNotAvailable => self.tally.count("without a port"),
            _ => panic!("seed {seed}: {error:?}"),
        }
    }
}
