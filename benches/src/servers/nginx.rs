//! nginx with one worker, configured for static files as its documentation advises.

use super::Site;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// `sendfile`, and `tcp_nopush` to send a header in one packet with the file's first bytes.
    Plain,
    /// With `open_file_cache`: nginx opens a file once and checks it again after 60 s.
    Cache,
    /// With `aio threads`: a pool thread calls sendfile.
    Threads,
}

impl Variant {
    fn directive(self) -> &'static str {
        match self {
            Variant::Plain => "",
            Variant::Cache => "open_file_cache max=20000 inactive=60s;",
            Variant::Threads => "aio threads;",
        }
    }
}

/// `master_process off`: the started process is the worker, so its CPU clock is the right one.
pub fn configuration(site: &Site, variant: Variant, port: u16) -> String {
    let (root, folder) = (site.root.display(), site.folder.display());
    let directive = variant.directive();
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx-{port}.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    {directive}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {root};
    }}
}}
"
    )
}
