//! The networks of the experiment. Their namespaces end with their processes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

use crate::runner::side::{Side, measured};
use crate::storage::succeed;

#[derive(Clone, Copy, PartialEq)]
pub enum Network {
    Loopback,
    /// A veth pair, with GRO, GSO and TSO or without.
    Veth {
        offloads: bool,
    },
}

const NEAR: &str = "10.201.0.1";
const FAR: &str = "10.201.0.2";

impl Network {
    /// Returns the available networks. With the right to do so, it moves this process into a new
    /// network namespace.
    pub fn all() -> Result<Vec<Result<Network>>> {
        if !geteuid().is_root() {
            eprintln!("veth is left out: it takes root");
            return Ok(vec![Ok(Network::Loopback)]);
        }
        unshare(CloneFlags::CLONE_NEWNET).context("no network namespace")?;
        succeed(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        let mut all = vec![Ok(Network::Loopback)];
        let mut probe = Command::new("ip");
        probe.args(["link", "add", "probe0", "type", "veth", "peer", "name", "probe1"]);
        match succeed(&mut probe).and_then(|()| succeed(Command::new("ethtool").arg("--version"))) {
            Err(error) => eprintln!("veth is left out: {error:#}"),
            Ok(()) => {
                succeed(Command::new("ip").args(["link", "del", "probe0"]))?;
                all.push(Ok(Network::Veth { offloads: true }));
                all.push(Ok(Network::Veth { offloads: false }));
            }
        }
        Ok(all)
    }

    pub fn name(self) -> &'static str {
        match self {
            Network::Loopback => "loopback",
            Network::Veth { offloads: true } => "veth with GRO and GSO",
            Network::Veth { offloads: false } => "veth without",
        }
    }

    /// The bytes of one measurement.
    pub fn bytes(self) -> u64 {
        match self {
            Network::Veth { offloads: false } => 128 << 20,
            _ => 256 << 20,
        }
    }

    pub fn start(self, file: &Path) -> Result<Side> {
        let mut command = measured(&std::env::current_exe()?);
        let network = if self == Network::Loopback { "shared" } else { "own" };
        command.args(["side", "step-loop"]).arg(file).arg(network);
        Side::start(command)
    }

    /// Connects the side's namespace to this one and returns the side's address.
    pub fn connect(self, side: &Side) -> Result<SocketAddr> {
        let Network::Veth { offloads } = self else {
            return Ok(SocketAddr::new("127.0.0.1".parse()?, side.port));
        };
        let far = side.id().to_string();
        let inside = |command: &str| format!("nsenter --target {far} --net {command}");
        let state = if offloads { "on" } else { "off" };
        let offload =
            |device: &str| format!("ethtool -K {device} gro {state} gso {state} tso {state}");
        // The kernel removes the pair of an ended namespace later.
        let _ = succeed(Command::new("ip").args(["link", "del", "near"]));
        for line in [
            format!("ip link add near type veth peer name far netns {far}"),
            format!("ip address add {NEAR}/24 dev near"),
            inside(&format!("ip address add {FAR}/24 dev far")),
            offload("near"),
            inside(&offload("far")),
            "ip link set near up".to_string(),
            inside("ip link set far up"),
        ] {
            let mut words = line.split(' ');
            let program = words.next().context("a word")?;
            succeed(Command::new(program).args(words))?;
        }
        Ok(SocketAddr::new(FAR.parse()?, side.port))
    }
}
