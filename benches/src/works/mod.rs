//! The works: what is measured, of whom, and how much of it.

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
mod g_cold;
mod g_slow_disk;
mod h_file_systems;
mod s_system_calls;

pub use a_large_file::BARE_LOOPS;
pub use download::{discard, file};

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

    /// How many rounds a ratio takes whose 95 % interval is judged.
    fn pairs(self) -> usize {
        match self.rounds {
            few if few < 11 => few,
            _ => 15,
        }
    }

    fn units(self, whole: u64) -> u64 {
        (whole as f64 * self.part) as u64
    }
}

type Work = fn(&Options) -> Result<()>;

/// By the letter of the page, and a name where there are several of a letter.
const WORKS: [(&str, Work); 15] = [
    ("A-FILE", a_large_file::run),
    ("A-SIZES", a_large_file::call_sizes),
    ("B-SMALL", b_small_sends::run),
    ("B-POSITION", b_small_sends::without_position),
    ("B-MANY", b_many_files::run),
    ("C", c_echo::run),
    ("D", d_tasks::run),
    ("E-WRK", e_http::run),
    ("E-LARGE", e_large_download::run),
    ("F-ECHO", f_echo::run),
    ("F-FILES", f_many_files::run),
    ("G-COLD", g_cold::run),
    ("G-SLOW", g_slow_disk::run),
    ("H", h_file_systems::run),
    ("S", s_system_calls::run),
];

pub fn run(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.folder)?;
    side::become_counterpart()?;
    for (name, work) in WORKS {
        let letter = name.split('-').next();
        let names_it = |only: &String| only == name || Some(only.as_str()) == letter;
        let is_asked_for = options.only.is_empty() || options.only.iter().any(names_it);
        if is_asked_for {
            work(options)?;
        }
    }
    Ok(())
}
