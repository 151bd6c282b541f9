//! The workloads: the measurements, with their peers and amounts.

mod a_large_file;
mod b_many_files;
mod b_small_sends;
mod c_echo;
mod d_tasks;
mod download;
mod e_http;
mod e_large_download;
mod echo;
mod f_echo;
mod f_many_files;
mod f_tasks;
mod g_cold;
mod g_slow_disk;
mod growth;
mod h_file_systems;
mod i_network;
mod j_build;
mod s_system_calls;

pub use a_large_file::BARE_LOOPS;
pub use download::{discard, file};

use anyhow::Result;

use crate::Options;
use crate::runner::side;

/// The amount of work in one measurement, and the number of rounds.
#[derive(Clone, Copy)]
struct Scale {
    rounds: usize,
    part: f64,
}

impl Scale {
    fn of(options: &Options) -> Scale {
        match options.quick {
            true => Scale { rounds: 3, part: 0.2 },
            false => Scale { rounds: 15, part: 1.0 },
        }
    }

    /// The number of rounds if the reference is the best of many peers: a few rounds flatter the
    /// best.
    fn many_rounds(self) -> usize {
        match self.rounds {
            15 => 61,
            few => few,
        }
    }

    fn units(self, whole: u64) -> u64 {
        (whole as f64 * self.part) as u64
    }
}

type Workload = fn(&Options) -> Result<()>;

/// The workloads by the letter of the page's section, with a name if a letter has several.
const WORKLOADS: [(&str, Workload); 24] = [
    ("A-FILE", a_large_file::run),
    ("A-SIZES", a_large_file::call_sizes),
    ("B-SMALL", b_small_sends::run),
    ("B-POSITION", b_small_sends::without_position),
    ("B-MANY", b_many_files::run),
    ("C-ECHO", c_echo::run),
    ("C-MEMORY", c_echo::memory),
    ("D-TASKS", d_tasks::run),
    ("D-EXECUTOR", d_tasks::executor),
    ("E-WRK", e_http::run),
    ("E-CLOSE", e_http::one_request_each),
    ("E-MANY", e_http::many_files),
    ("E-LARGE", e_large_download::run),
    ("F-ECHO", f_echo::run),
    ("F-FILES", f_many_files::run),
    ("F-TASKS", f_tasks::run),
    ("G-COLD", g_cold::run),
    ("G-SLOW", g_slow_disk::run),
    ("H", h_file_systems::run),
    ("I-CHURN", i_network::run_churn),
    ("I-UDP", i_network::run_udp),
    ("I-PROXY", i_network::run_proxy),
    ("J", j_build::run),
    ("S", s_system_calls::run),
];

pub fn run(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.folder)?;
    side::become_counterpart()?;
    for (name, work) in WORKLOADS {
        let letter = name.split('-').next();
        let names_it = |only: &String| only == name || Some(only.as_str()) == letter;
        let is_asked_for = options.only.is_empty() || options.only.iter().any(names_it);
        if is_asked_for {
            work(options)?;
        }
    }
    Ok(())
}
