//! The root, which follows its path, and permissions and special files in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, inotify, mknodat};

use super::client::{Client, get};
use super::server::{Server, executable};

/// The client sends all requests on one connection: an old connection sees the new root too.
#[test]
fn a_recreated_root_is_served() {
    let server = Server::start();
    server.add("index.html", 10);
    let mut client = Client::connect(&server);
    let mut ask = |target: &str| {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
        client.response()
    };
    assert_eq!(ask("/").status, 200);
    for round in 1..20 {
        fs::remove_dir_all(server.path("")).expect("the root");
        for target in ["/", "/index.html", "/none"] {
            let response = ask(target);
            assert_eq!(response.status, 503, "{target}");
            assert!(response.has("retry-after"));
        }
        fs::create_dir(server.path("")).expect("a root");
        assert_eq!(ask("/index.html").status, 404);
        let bytes = server.add("index.html", 10 * round);
        assert_eq!(ask("/").body, bytes);
    }
    fs::remove_dir_all(server.path("")).expect("the root");
    fs::write(server.outside("site"), "a file").expect("a file");
    assert_eq!(ask("/").status, 503);
}

#[test]
fn a_root_that_is_a_link_follows_each_change_of_the_link() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    for version in ["one", "two"] {
        fs::create_dir(path(version)).expect("a directory");
        fs::write(path(version).join("a"), version).expect("a file");
    }
    symlink("one", path("current")).expect("a link");
    let server = serve(&path("current"));
    for round in 0..50 {
        let version = ["one", "two"][round % 2];
        symlink(version, path("next")).expect("a link");
        fs::rename(path("next"), path("current")).expect("switched");
        assert_eq!(get(&server, "/a").body, version.as_bytes(), "{round}");
    }
    fs::remove_file(path("current")).expect("the link");
    assert_eq!(get(&server, "/a").status, 503);
}

/// Starts a server whose root is this directory.
#[track_caller]
fn serve(root: &Path) -> Server {
    let mut command = Command::new("sh");
    // Replaces the root in the arguments, which `Server::start_as` adds.
    let script = "root=$1; shift 2; exec \"$0\" \"$root\" --log off \"$@\"";
    command.arg("-c").arg(script).arg(executable()).arg(root);
    Server::start_as(&mut command)
}

/// The server must not run as the superuser, who may read everything.
#[test]
fn a_directory_with_only_search_permission_serves_its_index() {
    let server = start_without_privileges();
    fs::create_dir_all(server.path("d/e")).expect("directories");
    let bytes = server.add("d/index.html", 10);
    server.add("secret", 10);
    let set = |name: &str, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(server.path(name), mode).expect("a mode");
    };
    set("d", 0o711);
    set("d/e", 0o711);
    set("secret", 0o000);
    assert_eq!(get(&server, "/d/").body, bytes);
    assert_eq!(get(&server, "/d").status, 301);
    assert_eq!(get(&server, "/d/index.html").body, bytes);
    // A listing would have to read the directory.
    assert_eq!(get(&server, "/d/e/").status, 403);
    assert_eq!(get(&server, "/secret").status, 403);
    server.add("404.html", 10);
    set("404.html", 0o000);
    assert_eq!(get(&server, "/none").status, 404);
    set("d", 0o700);
    let status = get(&server, "/d/").status;
    assert_eq!(status, if is_superuser() { 403 } else { 200 });
}

fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

#[track_caller]
fn start_without_privileges() -> Server {
    let mut command = Command::new("sh");
    let script = match is_superuser() {
        // Only the superuser may search the directory of the site, and perhaps that of the program.
        true => {
            "chmod 711 \"${1%/site}\" && cp \"$0\" \"${1%/site}/server\" && chmod 755 \"${1%/site}/server\" \
             && exec setpriv --reuid 65534 --regid 65534 --clear-groups \"${1%/site}/server\" --log off \"$@\""
        }
        false => "exec \"$0\" --log off \"$@\"",
    };
    Server::start_as(command.arg("-c").arg(script).arg(executable()))
}

/// An open of a FIFO wakes its writer, and an open of a device can have any effect.
#[test]
fn a_fifo_is_not_opened() {
    let server = Server::start();
    let fifo = server.path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
    symlink("fifo", server.path("link")).expect("a link");
    server.add("a", 10);
    let events = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
    let watch = |name: &str| {
        let path = server.path(name);
        inotify::add_watch(&events, path, inotify::WatchFlags::OPEN).expect("a watch");
    };
    let is_opened = || rustix::io::read(&events, &mut [0; 1024]).is_ok();
    watch("fifo");
    for target in ["/fifo", "/link", "/fifo/", "/"] {
        get(&server, target);
        assert!(!is_opened(), "{target}");
    }
    watch("a");
    get(&server, "/a");
    assert!(is_opened(), "inotify reports no open of a regular file");
}
