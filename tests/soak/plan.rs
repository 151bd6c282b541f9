//! The number of clients and descriptors, and the duration.

use std::env;
use std::time::Duration;

use fastrand::Rng;

#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seconds: u64,
    /// The server's descriptors.
    pub(super) descriptors: u64,
    pub(super) clients: u64,
    pub(super) seed: u64,
}

/// The times of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The time for which the server lets a client do nothing.
    pub(super) time_limit: Duration,
    /// The longest pause of a client.
    pause: Duration,
}

impl Pace {
    pub(super) fn pause(&self, rng: &mut Rng) -> Duration {
        self.pause.mul_f32(rng.f32())
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => otherwise,
    }
}

impl Plan {
    /// Reads the plan from the environment. The clients' process has the same plan.
    pub(super) fn from_environment(seconds: u64, descriptors: u64, clients: u64) -> Plan {
        Plan {
            seconds: number("SENDLOOP_SOAK_SECONDS", seconds),
            descriptors: number("SENDLOOP_SOAK_DESCRIPTORS", descriptors),
            clients: number("SENDLOOP_SOAK_CLIENTS", clients),
            seed: number("SENDLOOP_SOAK_SEED", 0),
        }
    }

    pub(super) fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("SENDLOOP_SOAK_SECONDS", self.seconds.to_string()),
            ("SENDLOOP_SOAK_DESCRIPTORS", self.descriptors.to_string()),
            ("SENDLOOP_SOAK_CLIENTS", self.clients.to_string()),
            ("SENDLOOP_SOAK_SEED", self.seed.to_string()),
        ]
    }

    /// Returns whether there are descriptors for all clients.
    ///
    /// Each connection takes two, and a third while the executor reads.
    pub(super) fn is_roomy(&self) -> bool {
        self.descriptors > 3 * self.clients + 100
    }

    /// Returns the pace of the clients.
    ///
    /// With enough descriptors, as many clients as possible are connected at once. Otherwise
    /// clients leave soon, so that the queue moves.
    pub(super) fn pace(&self) -> Pace {
        let millis = |time_limit, pause| Pace {
            time_limit: Duration::from_millis(time_limit),
            pause: Duration::from_millis(pause),
        };
        match self.is_roomy() {
            _ if self.clients < 1000 => millis(1000, 100),
            true => millis(4000, 1000),
            false => millis(1000, 20),
        }
    }
}
