//! nginx with one worker, as its documentation would have it for static files.

use super::Site;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// sendfile, and `tcp_nopush` so that a header goes in one packet with the file's begin.
    Plain,
    /// With `open_file_cache`: a file is opened once, and looked at again after 60 s.
    Cache,
    /// With `aio threads`: sendfile is called in a thread of a pool.
    Threads,
}

impl Variant {
    fn directive(self) -> &'static str {
        match self {
            Variant::Plain => "",
            Variant::Cache => "open_file_cache max=1000 inactive=60s;",
            Variant::Threads => "aio threads;",
        }
    }
}

/// `master_process off`: the process that is started is the worker, and its CPU clock the one to read.
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
