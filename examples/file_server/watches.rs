//! Watches the way to a file.
//!
//! The way to a file is a list of facts. A fact is about an entry of a directory, which may be
//! missing, or about an inode. Each fact is watched with inotify before it is looked up. The
//! kernel queues an event before the system call of a change returns. So a fact holds if no event
//! denies it after [`Watches::refresh`].
//!
//! The way begins at `/`, and follows each symbolic link as the kernel does. A mount changes names
//! without an event of inotify. `/proc/self/mountinfo` reports it, and all facts are dropped.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::statfs;
use rustix::io::Errno;

use crate::beneath::is_watched;
use crate::find::Stamp;

/// More bytes of events than this in one refresh drop all facts. Reading on would take long.
const MAX_EVENT_BYTES: usize = 64 << 10;

/// The symbolic links that the kernel follows in one path.
const MAX_LINKS: usize = 40;

/// Changes of the entries of a directory, and of its permissions.
const OF_DIRECTORY: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// Changes of a file's content, and of its times and permissions.
const OF_FILE: WatchFlags =
    WatchFlags::MODIFY.union(WatchFlags::ATTRIB).union(WatchFlags::DELETE_SELF);

/// Something that was seen. It holds until an event denies it.
#[derive(Debug)]
pub(crate) struct Fact {
    watch: i32,
    name: Name,
    holds: Cell<bool>,
}

impl Fact {
    pub(crate) fn holds(&self) -> bool {
        self.holds.get()
    }
}

/// The subject of a fact. Some directories ignore the case of names. ASCII names are compared
/// without case, and all other names count as one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Name {
    /// The watched inode itself.
    Own,
    Ascii(Box<[u8]>),
    Other,
}

impl Name {
    fn of(name: &[u8]) -> Name {
        match name.is_ascii() {
            true => Name::Ascii(name.to_ascii_lowercase().into()),
            false => Name::Other,
        }
    }
}

type Facts = HashMap<Name, Rc<Fact>>;

pub(crate) struct Watches {
    inotify: OwnedFd,
    mounts: File,
    watches: HashMap<i32, Facts>,
    /// The ways to the directories in which files were found lately, by their paths.
    ways: HashMap<PathBuf, Way>,
    /// The number of facts that were denied, and of the times that all facts were dropped.
    denials: u64,
    buffer: Box<[MaybeUninit<u8>]>,
}

/// The way to a directory, or a part of it.
#[derive(Clone)]
struct Way {
    /// The path so far, without symbolic links.
    place: PathBuf,
    /// The watch of the directory there, if it is known.
    watch: Option<i32>,
    facts: Vec<Rc<Fact>>,
}

impl Default for Way {
    fn default() -> Way {
        Way { place: PathBuf::from("/"), watch: None, facts: Vec::new() }
    }
}

impl Watches {
    /// Returns `None` if the system allows no watches.
    pub(crate) fn new() -> Option<Watches> {
        Some(Watches {
            inotify: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?,
            mounts: File::open("/proc/self/mountinfo").ok()?,
            watches: HashMap::new(),
            ways: HashMap::new(),
            denials: 0,
            buffer: vec![MaybeUninit::uninit(); 16 << 10].into(),
        })
    }

    /// Takes note of all changes whose system call has returned. Never waits. Returns `false` if
    /// all facts were dropped.
    pub(crate) fn refresh(&mut self) -> bool {
        let mut asked =
            [PollFd::new(&self.inotify, PollFlags::IN), PollFd::new(&self.mounts, PollFlags::PRI)];
        let at_once = Timespec::default();
        let polled = poll(&mut asked, Some(&at_once));
        let is_mounted = !asked[1].revents().is_empty();
        let is_known = match polled {
            Ok(0) => true,
            Ok(_) => !is_mounted && self.read_events(MAX_EVENT_BYTES).is_ok(),
            Err(_) => false,
        };
        if !is_known {
            self.drop_all();
        }
        is_known
    }

    /// Returns a number that grows with each fact that is denied.
    pub(crate) fn denials(&self) -> u64 {
        self.denials
    }

    fn drop_all(&mut self) {
        self.denials += 1;
        self.ways.clear();
        for (watch, facts) in mem::take(&mut self.watches) {
            facts.values().for_each(|fact| fact.holds.set(false));
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
        // No fact is left that an event could deny.
        let _ = self.read_events(usize::MAX);
    }

    /// # Errors
    ///
    /// `Lost` if events are missing, or more than `most` bytes of them came.
    fn read_events(&mut self, most: usize) -> Result<(), Lost> {
        let mut events = Reader::new(&self.inotify, &mut self.buffer);
        let mut bytes = 0;
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(_) => return Err(Lost),
            };
            let name = event.file_name().map(|name| name.to_bytes());
            bytes += 16 + name.map_or(0, |name| (name.len() + 16) & !15);
            if bytes > most || event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                return Err(Lost);
            }
            let Some(facts) = self.watches.get_mut(&event.wd()) else {
                continue;
            };
            let before = facts.len();
            deny(facts, name);
            self.denials += (before - facts.len()) as u64;
            let is_gone = event.events().contains(ReadFlags::IGNORED);
            if is_gone || facts.is_empty() {
                self.watches.remove(&event.wd());
                let _ = inotify::remove_watch(&self.inotify, event.wd());
            }
        }
    }

    /// Watches the way to an absolute path, adds its facts, and returns the stamp of its end.
    ///
    /// # Errors
    ///
    /// Any OS error on the way, but for a missing name. Facts that were added must be forgotten.
    pub(crate) fn watch(
        &mut self,
        path: &Path,
        facts: &mut Vec<Rc<Fact>>,
    ) -> io::Result<Option<Stamp>> {
        let mut way = Way::default();
        let found = self.follow(path, &mut way);
        facts.append(&mut way.facts);
        found
    }

    /// Follows a path from its known part on. If a name on it changes meanwhile, an event denies
    /// its fact.
    fn follow(&mut self, path: &Path, way: &mut Way) -> io::Result<Option<Stamp>> {
        let mut names = Vec::new();
        *way = self.known_part(path, &mut names);
        let mut parent = path.parent().filter(|_| names.len() > 1);
        let mut links = 0;
        while let Some(name) = names.pop() {
            if name == ".." {
                way.place.pop();
                way.watch = None;
                continue;
            }
            let known = way.watch.filter(|watch| self.watches.contains_key(watch));
            let watch = match known {
                Some(watch) => watch,
                None => self.add_watch(&way.place, OF_DIRECTORY)?,
            };
            if let Some(parent) = parent.take_if(|_| names.is_empty()) {
                way.watch = Some(watch);
                self.ways.insert(parent.to_owned(), way.clone());
            }
            way.facts.push(self.fact(watch, Name::of(name.as_bytes())));
            way.watch = None;
            way.place.push(name);
            let metadata = match fs::symlink_metadata(&way.place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                metadata => metadata?,
            };
            if metadata.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = fs::read_link(&way.place)?;
                way.place.pop();
                if target.is_absolute() {
                    way.place = PathBuf::from("/");
                }
                push_names(&mut names, target.as_os_str().as_bytes());
            } else if metadata.is_file() {
                let watch = self.add_watch(&way.place, OF_FILE)?;
                way.facts.push(self.fact(watch, Name::Own));
                break;
            } else if !metadata.is_dir() {
                return Err(Errno::INVAL.into());
            }
        }
        Ok(Some(Stamp::of(&fs::symlink_metadata(&way.place)?)))
    }

    /// Returns the part of the way to a path that is watched already, and puts the names of the
    /// rest on the stack.
    fn known_part(&self, path: &Path, names: &mut Vec<OsString>) -> Way {
        for above in path.ancestors().skip(1) {
            let known = self.ways.get(above);
            let Some(known) = known.filter(|way| way.facts.iter().all(|fact| fact.holds())) else {
                continue;
            };
            let rest = path.strip_prefix(above).unwrap_or(path);
            push_names(names, rest.as_os_str().as_bytes());
            return known.clone();
        }
        push_names(names, path.as_os_str().as_bytes());
        Way::default()
    }

    fn add_watch(&mut self, path: &Path, changes: WatchFlags) -> Result<i32, Errno> {
        let flags = changes | WatchFlags::DONT_FOLLOW;
        let watch = inotify::add_watch(&self.inotify, path, flags)?;
        if !self.watches.contains_key(&watch) && !statfs(path).is_ok_and(|facts| is_watched(&facts))
        {
            let _ = inotify::remove_watch(&self.inotify, watch);
            return Err(Errno::OPNOTSUPP);
        }
        Ok(watch)
    }

    /// Returns a fact of an inode that is watched.
    fn fact(&mut self, watch: i32, name: Name) -> Rc<Fact> {
        let known = self.watches.entry(watch).or_default();
        let fact = known.entry(name).or_insert_with_key(|name| {
            Rc::new(Fact { watch, name: name.clone(), holds: Cell::new(true) })
        });
        fact.clone()
    }

    /// Forgets the ways to directories. The next search walks them again.
    pub(crate) fn forget_ways(&mut self) {
        for way in mem::take(&mut self.ways).into_values() {
            self.forget(way.facts);
        }
    }

    /// Ends the watches that only these facts need.
    pub(crate) fn forget(&mut self, facts: Vec<Rc<Fact>>) {
        for fact in facts {
            // One of them is in the map.
            if !fact.holds() || Rc::strong_count(&fact) > 2 {
                continue;
            }
            let Some(others) = self.watches.get_mut(&fact.watch) else {
                continue;
            };
            others.remove(&fact.name);
            if others.is_empty() {
                self.watches.remove(&fact.watch);
                let _ = inotify::remove_watch(&self.inotify, fact.watch);
            }
        }
    }
}

/// Events are missing.
struct Lost;

/// Denies the facts that an event is about. Without a name it is about the inode itself.
fn deny(facts: &mut Facts, name: Option<&[u8]>) {
    let is_denied = |other: &Name| match name.map(Name::of) {
        None | Some(Name::Other | Name::Own) => true,
        Some(name) => *other == Name::Other || *other == name,
    };
    facts.retain(|name, fact| {
        let holds = !is_denied(name);
        fact.holds.set(holds);
        holds
    });
}

/// Puts the names of a path on the stack, the first one on top.
fn push_names(names: &mut Vec<OsString>, path: &[u8]) {
    let parts = path.split(|&byte| byte == b'/');
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    names.extend(parts.rev().map(|part| OsString::from_vec(part.to_vec())));
}
