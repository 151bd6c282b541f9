//! The names of peers for readers.

/// The peers that stand for sendloop: others are compared with the first one that a table has.
pub const OURS: [&str; 4] = ["sendloop", "file_server", "sendloop on ext4", "sendloop_noposition"];

const LABELS: [(&str, &str); 21] = [
    ("async_io", "async-io, sendfile"),
    ("blocking", "sendfile, blocking"),
    ("blocking_probe", "blocking + preadv2"),
    ("blocking_lseek", "blocking + lseek"),
    ("blocking_probe_lseek", "blocking + preadv2 + lseek"),
    ("epoll", "sendfile, epoll"),
    ("file_server", "sendloop, file_server"),
    ("mio", "mio by hand"),
    ("nginx open_file_cache", "nginx, open_file_cache"),
    ("nginx aio threads", "nginx, aio threads"),
    ("read_write", "read and write"),
    ("sendloop_noprefetch", "sendloop, no prefetch"),
    ("sendloop_noposition", "sendloop, no position"),
    ("sendloop_noposition_noprefetch", "sendloop, neither"),
    ("sendloop_unbuffered", "sendloop, sock_recv"),
    ("mio_64k", "mio by hand, 64 KiB buffers"),
    ("sendloop_64k", "sendloop, 64 KiB buffers"),
    ("tokio_64k", "tokio, 64 KiB buffers"),
    ("tokio_copy", "tokio, copy"),
    ("tokio_sendfile", "tokio, sendfile"),
    ("tokio_unbuffered", "tokio, readable"),
];

/// The labels of tables that are shorter than those of plots. The page's head explains them.
const SHORT: [(&str, &str); 6] = [
    ("async_io", "async-io"),
    ("blocking", "blocking"),
    ("epoll", "epoll"),
    ("file_server", "file_server"),
    ("mio", "mio"),
    ("sendloop on ext4", "ext4"),
];

/// Returns the name of a peer in a table.
pub fn short_label(peer: &str) -> String {
    let short = SHORT.iter().find(|(name, _)| *name == peer);
    short.map_or_else(|| label(peer), |(_, label)| label.to_string())
}

/// Returns the plain name of a peer.
pub fn label(peer: &str) -> String {
    if let Some((_, label)) = LABELS.iter().find(|(name, _)| *name == peer) {
        return label.to_string();
    }
    // The bare loops with calls of one size: `epoll_128k`.
    let sized = peer.strip_suffix('k').and_then(|name| name.split_once('_'));
    match sized {
        Some((way, size)) if size.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{way}, {size} KiB")
        }
        _ => peer.to_string(),
    }
}

pub fn is_ours(peer: &str) -> bool {
    peer.starts_with("sendloop") || peer == "file_server"
}
