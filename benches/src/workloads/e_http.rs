//! E: requests for files, by wrk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Scale;
use crate::Options;
use crate::runner::results::{self, Sample};
use crate::runner::rounds::{Peer, Plan};
use crate::servers::{self, ManyFiles, Site, Variant, require};
use crate::storage::FileSystem;

const SIZES: [(&str, u64); 3] = [("1 KiB", 1 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];

const CONNECTIONS: usize = 64;

/// The number of precomputed requests of one script.
const REQUESTS: usize = 40_000;

/// Prints the totals of a run in one line. Times are in microseconds.
const REPORT: &str = r#"
function done(summary, latency)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.timeout + e.status
  print("REPORT", summary.requests, summary.duration, summary.bytes, failed,
        latency:percentile(50), latency:percentile(99))
end
"#;

/// Measures connections that carry many requests.
pub fn run(options: &Options) -> Result<()> {
    measure(options, &SIZES, KEPT_ALIVE)
}

/// Measures connections that carry one request each.
pub fn one_request_each(options: &Options) -> Result<()> {
    measure(options, &SIZES[..1], CLOSED)
}

/// The lifetime of a connection.
#[derive(Clone, Copy)]
struct Life {
    key: &'static str,
    title: &'static str,
    header: Option<&'static str>,
}

const KEPT_ALIVE: Life = Life { key: "E", title: "kept alive", header: None };
const CLOSED: Life =
    Life { key: "E close", title: "one request each", header: Some("Connection: close") };

/// Measures a site of many files: all equally often, a few of them often, and on overlayfs.
pub fn many_files(options: &Options) -> Result<()> {
    // The servers inherit it, and nginx keeps every file open.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let files = ManyFiles::create(&options.folder.join("many-files"))?;
    let site = Site::at(&files.folder, &options.folder)?;
    let mut peers = peers(&site, KEPT_ALIVE)?;
    let all = Requests {
        key: "E many files",
        title: "10,000 files of 600 B to 100 KB in random order",
        draw: ManyFiles::any,
    };
    let few = Requests {
        key: "E 90/10",
        title: "10,000 files, 90 % of the requests for 1 % of them",
        draw: ManyFiles::mostly_few,
    };
    for requests in [&all, &few] {
        requests.measure(options, &files, &mut peers)?;
    }
    drop(peers);
    let mounted = match FileSystem::Overlayfs.mount(&files.folder, &options.folder) {
        Ok(mounted) => mounted,
        Err(error) => {
            eprintln!("E overlayfs is left out: {error:#}");
            return Ok(());
        }
    };
    let site = Site::at(&mounted.point, &options.folder)?;
    let overlay =
        Requests { key: "E overlayfs", title: "10,000 files on overlayfs in random order", ..all };
    overlay.measure(options, &files, &mut self::peers(&site, KEPT_ALIVE)?)
}

/// Precomputed requests for many files.
struct Requests {
    key: &'static str,
    title: &'static str,
    draw: fn(&ManyFiles, &mut u64) -> u64,
}

impl Requests {
    fn measure(&self, options: &Options, files: &ManyFiles, peers: &mut [Peer]) -> Result<()> {
        for peer in &*peers {
            for size in files.sizes().step_by(997) {
                let checked = servers::check(peer.side.port, &ManyFiles::path(size), size);
                checked.with_context(|| peer.name.clone())?;
            }
        }
        let load = Load {
            path: String::new(),
            size: ManyFiles::SMALLEST,
            seconds: seconds(options),
            script: self.script(options, files)?,
            header: None,
        };
        let plan = Plan {
            key: self.key,
            title: self.title,
            unit: "request",
            rounds: Scale::of(options).rounds,
        };
        let table = plan.run_samples(peers, |peer| load.on(peer))?;
        results::save(options, &table)
    }

    /// Writes a script whose requests begin at a random one in each run.
    fn script(&self, options: &Options, files: &ManyFiles) -> Result<PathBuf> {
        let mut random = 1;
        let mut text = String::from("local paths = {");
        for _ in 0..REQUESTS {
            let path = ManyFiles::path((self.draw)(files, &mut random));
            text += &format!("\"/{path}\",");
        }
        text += "}\nlocal requests, at = {}, 0\nfunction init()\n\
            for i, path in ipairs(paths) do requests[i] = wrk.format(\"GET\", path) end\n\
            math.randomseed(os.time())\nat = math.random(#paths)\nend\n\
            function request()\nat = at % #requests + 1\nreturn requests[at]\nend\n";
        let script = options.folder.join("many-files.lua");
        fs::write(&script, text + REPORT)?;
        Ok(script)
    }
}

fn peers(site: &Site, life: Life) -> Result<Vec<Peer>> {
    require("wrk", "wrk")?;
    let mut peers = vec![
        site.file_server()?,
        site.nginx("nginx", Variant::Plain)?,
        site.nginx("nginx open_file_cache", Variant::Cache)?,
    ];
    // static-web-server does not announce that it closes, which wrk counts as an error.
    if life.header.is_none() {
        match site.static_web_server() {
            Ok(peer) => peers.push(peer),
            Err(error) => eprintln!("E static-web-server is left out: {error:#}"),
        }
    }
    Ok(peers)
}

fn seconds(options: &Options) -> u32 {
    if options.quick { 1 } else { 2 }
}

fn measure(options: &Options, sizes: &[(&str, u64)], life: Life) -> Result<()> {
    let site = Site::new(&options.folder)?;
    let script = options.folder.join("report.lua");
    fs::write(&script, REPORT)?;
    let mut peers = peers(&site, life)?;
    for &(name, size) in sizes {
        let load = Load {
            path: site.file(size)?,
            size,
            seconds: seconds(options),
            script: script.clone(),
            header: life.header,
        };
        for peer in &peers {
            let checked = servers::check(peer.side.port, &load.path, size);
            checked.with_context(|| peer.name.clone())?;
        }
        let plan = Plan {
            key: &format!("{} {name}", life.key),
            title: &format!("HTTP, a file of {name}, {CONNECTIONS} connections, {}", life.title),
            unit: "request",
            rounds: Scale::of(options).rounds,
        };
        let table = plan.run_samples(&mut peers, |peer| load.on(peer))?;
        results::save(options, &table)?;
    }
    Ok(())
}

/// One run of wrk.
struct Load {
    path: String,
    size: u64,
    seconds: u32,
    script: PathBuf,
    header: Option<&'static str>,
}

impl Load {
    fn on(&self, peer: &mut Peer) -> Result<Sample> {
        let (begin, cpu) = (Instant::now(), peer.side.cpu.now()?);
        let report = self.wrk(peer.side.port)?;
        let cpu = peer.side.cpu.since(cpu)?.as_secs_f64();
        let [requests, duration, bytes, failed, p50, p99] = report[..] else {
            bail!("wrk reported {report:?}");
        };
        if failed > 0.0 || requests == 0.0 || bytes < requests * self.size as f64 {
            bail!("{requests} requests, {failed} failed, {bytes} bytes");
        }
        let other = [
            ("requests_per_second", requests / (duration / 1e6)),
            ("p50", p50 / 1e6),
            ("p99", p99 / 1e6),
            ("rss", peer.side.resident()? as f64),
        ];
        Ok(Sample {
            units: requests,
            cpu,
            // wrk's own measure leaves out its start.
            wall: (duration / 1e6).min(begin.elapsed().as_secs_f64()),
            other: other.map(|(name, figure)| (name.to_string(), figure)).into(),
        })
    }

    fn wrk(&self, port: u16) -> Result<Vec<f64>> {
        let mut command = Command::new("wrk");
        command.args(["--threads", "1", "--connections", &CONNECTIONS.to_string()]);
        command.args(["--duration", &format!("{}s", self.seconds)]);
        command.arg("--script").arg(Path::new(&self.script));
        if let Some(header) = self.header {
            command.args(["--header", header]);
        }
        let url = format!("http://127.0.0.1:{port}/{}", self.path);
        let output = command.arg(url).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("REPORT"));
        let line = line.with_context(|| format!("wrk said {text}"))?;
        let numbers = line.split_whitespace().map(str::parse);
        Ok(numbers.collect::<Result<_, _>>()?)
    }
}
