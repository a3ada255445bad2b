//! A fresh copy of what git tracks, with what takes minutes to make shared with this checkout: npm's
//! packages, and what cargo has built.
//!
//! The documents name ports, 8787 and 8788. Where the system allows it (root, or namespaces for
//! everyone), a test runs again in a network of its own, so that nothing else can be in its way, and in
//! a view of the disk where the copy lies at this checkout's path: cargo knows its builds by path. There
//! also ends with the test whatever it has started. Elsewhere the copy lies in `target/`, and builds the
//! project's own crates once more.

use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use headstart_tests::edge_config::root;
use tempfile::TempDir;

/// Set in the process that runs in namespaces of its own.
const INSIDE: &str = "HEADSTART_DOCUMENTS_INSIDE";

/// The ports of `make dev`.
const PORTS: [u16; 2] = [8787, 8788];

/// What a reader's terminal has from its user. All else is left out, cargo's variables above all.
const ENVIRONMENT: [&str; 4] = ["PATH", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "LANG"];

/// Makes the view of the disk in which the copy `$2` lies at `$1` and shares with it what takes minutes
/// to make, and runs the rest there.
const ENTER: &str = r#"
    set -e
    from=$1 copy=$2
    shift 2
    ip link set lo up
    for shared in node_modules target .git; do
        if [ -d "$from/$shared" ]; then
            mkdir "$copy/$shared"
        elif [ -e "$from/$shared" ]; then
            : >"$copy/$shared"
        else
            continue
        fi
        mount --bind "$from/$shared" "$copy/$shared"
    done
    mount --rbind "$copy" "$from"
    cd "$from"
    exec "$@"
"#;

/// A folder that looks as a clone does.
#[derive(Debug)]
pub struct Checkout {
    folder: PathBuf,
    target: Option<PathBuf>,
    /// Where lines put what is for the user.
    home: TempDir,
}

impl Checkout {
    /// Runs `body`, which is the test called `test`, in a checkout where the ports are free.
    pub fn enter(test: &str, body: impl AsyncFnOnce(&Self)) {
        if env::var_os(INSIDE).is_some() {
            return run(body, &Self::new(root(), None));
        }
        if let Some(unshare) = unshare() {
            let copy = TempDir::with_prefix("headstart-checkout-").expect("a folder can be made");
            copy_tracked(copy.path());
            return enter_namespaces(unshare, copy.path(), test);
        }
        for port in PORTS {
            let listener = TcpListener::bind(("127.0.0.1", port));
            listener.unwrap_or_else(|error| {
                panic!("the documents' lines need port {port}: end what listens there, such as make dev ({error})")
            });
        }
        let target = target();
        let copy = target.join("documents");
        clean(&copy);
        copy_tracked(&copy);
        let link = copy.join("node_modules");
        std::os::unix::fs::symlink(root().join("node_modules"), link).expect("it can be linked");
        run(body, &Self::new(copy, Some(target)));
    }

    fn new(folder: PathBuf, target: Option<PathBuf>) -> Self {
        let home = TempDir::with_prefix("headstart-home-").expect("a folder can be made");
        Self {
            folder,
            target,
            home,
        }
    }

    /// A program in its folder, in a reader's environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env_clear();
        let kept = ENVIRONMENT.map(|name| (name, env::var_os(name)));
        for (name, value) in kept {
            command.envs(value.map(|value| (name, value)));
        }
        command.envs(
            self.target
                .as_ref()
                .map(|target| ("CARGO_TARGET_DIR", target)),
        );
        let home = env::home_dir().expect("the user has a home");
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            command.env(
                name,
                env::var_os(name).unwrap_or_else(|| home.join(folder).into()),
            );
        }
        command
            .env("HOME", self.home.path())
            .env("TERM", "dumb")
            // Output goes to a file here, and Python would keep it back.
            .env("PYTHONUNBUFFERED", "1")
            // Fills in what a reader would.
            .env("EDITOR", "sed -i -e s|^url.*|url=\"https://edge.example\"| -e s|^HEADSTART_API_TOKEN=$|&token|");
        command
    }
}

fn run(body: impl AsyncFnOnce(&Checkout), checkout: &Checkout) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime
        .expect("a runtime can be started")
        .block_on(body(checkout));
}

/// How `unshare` is to be called for what [`ENTER`] needs, or nothing where the system forbids it.
fn unshare() -> Option<Command> {
    let namespaces = [
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    let as_root: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &["--map-root-user"]
    };
    let command = || {
        let mut command = Command::new("unshare");
        command.args(as_root).args(namespaces);
        command
    };
    let tried = command().args(["sh", "-c", "ip link set lo up"]).output();
    tried
        .is_ok_and(|output| output.status.success())
        .then(command)
}

fn enter_namespaces(mut unshare: Command, copy: &Path, test: &str) {
    let status = unshare
        .args(["sh", "-c", ENTER, "enter"])
        .arg(root())
        .arg(copy)
        .arg(env::current_exe().expect("this test is a file"))
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare can be started");
    assert!(
        status.success(),
        "it failed in its namespaces; it says how above"
    );
}

/// The folder that cargo builds in.
fn target() -> PathBuf {
    let test = env::current_exe().expect("this test is a file");
    // <target>/<profile>/deps/<test>
    let target = test.ancestors().nth(3).expect("it lies in a target folder");
    target.to_owned()
}

/// Copies what git tracks, as it is in this checkout, with its times: cargo goes by them.
pub fn copy_tracked(to: &Path) {
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root())
        .output()
        .expect("git can be started");
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = listed.stdout.split(|byte| *byte == 0);
    for name in names.map(|name| String::from_utf8_lossy(name)) {
        let from = root().join(name.as_ref());
        // Deleted, and git does not know it yet; or the end of the list.
        if !from.is_file() {
            continue;
        }
        let to = to.join(name.as_ref());
        let folder = to.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).expect("the copy can be written");
        fs::copy(&from, &to).expect("the copy can be written");
        let modified = from.metadata().and_then(|file| file.modified());
        let times = File::options()
            .write(true)
            .open(&to)
            .and_then(|file| file.set_modified(modified?));
        times.expect("the copy's time can be set");
    }
}

/// Removes an earlier copy, and nothing that it only links to.
fn clean(copy: &Path) {
    if copy.exists() {
        fs::remove_dir_all(copy).expect("an earlier copy can be removed");
    }
}
