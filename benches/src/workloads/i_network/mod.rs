//! I: short connections, datagrams, and a proxy.

mod churn;
mod proxy;
mod udp;

pub use churn::run as run_churn;
pub use proxy::run as run_proxy;
pub use udp::run as run_udp;
