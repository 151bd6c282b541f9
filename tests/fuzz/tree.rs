//! A tree with links and special files that a client could use to escape, and a secret beside it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::root::Root;

/// The content of the file outside the root.
pub(crate) const SECRET: &[u8] = b"NOBODY-MAY-SEE-THIS";

/// Names and sizes of all files. No two have the same size, so the size identifies the file.
const FILES: [(&str, usize); 10] = [
    ("empty", 0),
    ("a", 10),
    ("a.html", 700),
    ("a.html.gz", 300),
    ("a.html.br", 290),
    ("large.js", 9001),
    ("d/index.html", 123),
    ("d/e/x y", 55),
    ("...", 77),
    (".hidden", 44),
];

pub(crate) struct Tree {
    _directory: TempDir,
    /// The path without symbolic links.
    site: PathBuf,
    pub(crate) root: Arc<Root>,
    pub(crate) files: Vec<Vec<u8>>,
}

impl Tree {
    /// Returns the tree that all checks share.
    pub(crate) fn shared() -> &'static Tree {
        static TREE: OnceLock<Tree> = OnceLock::new();
        TREE.get_or_init(Tree::new)
    }

    fn new() -> Tree {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let site = directory.path().join("site");
        fs::create_dir_all(site.join("d/e")).expect("directories");
        fs::create_dir(site.join("list")).expect("a directory");
        fs::write(directory.path().join("secret"), SECRET).expect("a secret");
        let files = FILES.map(|(name, len)| {
            let bytes = content(len);
            fs::write(site.join(name), &bytes).expect("a file");
            // A variant must not be older than its file.
            let file = fs::File::options().write(true).open(site.join(name));
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
            file.and_then(|file| file.set_modified(time)).expect("a time");
            bytes
        });
        for (link, to) in [
            ("in", "a"),
            ("out", "../secret"),
            ("d/up", "../.."),
            ("list/out", "../../secret"),
            ("absolute", "/"),
            ("loop", "loop"),
            ("proc", "/proc/self/root"),
        ] {
            symlink(to, site.join(link)).expect("a link");
        }
        let fifo = site.join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
        Tree {
            root: Arc::new(Root::new(&site, false).expect("a root")),
            files: files.into(),
            site: site.canonicalize().expect("the root"),
            _directory: directory,
        }
    }

    /// Returns the content of the file of this size.
    pub(crate) fn of_size(&self, size: u64) -> Option<&[u8]> {
        let mut files = self.files.iter();
        let file = files.find(|file| file.len() as u64 == size)?;
        Some(file)
    }

    /// Returns whether a path that the kernel gives for a descriptor is the root or below it.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.site)
    }
}

/// Returns content without repeats. Files of different sizes begin differently.
fn content(len: usize) -> Vec<u8> {
    let words = (0u32..).flat_map(|n| (n.wrapping_mul(2_654_435_761) ^ len as u32).to_le_bytes());
    words.take(len).collect()
}
