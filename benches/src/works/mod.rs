//! The works: what is measured, of whom, and how much of it.

mod a_large_file;
mod b_small_sends;
mod c_echo;
mod d_tasks;
mod download;
mod e_http;
mod echo;
mod f_echo;
mod f_many_files;
mod g_cold;
mod s_system_calls;

use anyhow::Result;

use crate::Options;
use crate::runner::side;

/// How much is done in one measurement, and how often.
#[derive(Clone, Copy)]
struct Scale {
    rounds: usize,
    part: f64,
}

impl Scale {
    fn of(options: &Options) -> Scale {
        match options.quick {
            true => Scale {
                rounds: 5,
                part: 0.2,
            },
            false => Scale {
                rounds: 11,
                part: 1.0,
            },
        }
    }

    fn units(self, whole: u64) -> u64 {
        (whole as f64 * self.part) as u64
    }
}

type Work = fn(&Options) -> Result<()>;

const WORKS: [(&str, Work); 9] = [
    ("A", a_large_file::run),
    ("B", b_small_sends::run),
    ("C", c_echo::run),
    ("D", d_tasks::run),
    ("E", e_http::run),
    ("F", f_echo::run),
    ("F", f_many_files::run),
    ("G", g_cold::run),
    ("S", s_system_calls::run),
];

pub fn run(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.folder)?;
    side::become_counterpart()?;
    for (letter, work) in WORKS {
        let is_asked_for =
            options.only.is_empty() || options.only.iter().any(|only| only == letter);
        if is_asked_for {
            work(options)?;
        }
    }
    Ok(())
}
