//! Child processes that never outlive the test: each is the leader of a process group, and the group
//! is killed when the test lets go of it, panics, or dies.
//!
//! The last is the work of a guard: a shell that reads from a pipe whose other end only the test
//! process holds. When the test process is gone, however it went, the pipe ends and the guard kills
//! the group. So processes that tests share can live in a `static`, which Rust never drops.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait::until_blocking;

/// Waits for the end of its input, then kills the group and, once nothing is left of it that could
/// write, removes the folder.
const GUARD: &str = r#"
    cat >/dev/null
    kill -s KILL -- "-$1"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -s 0 -- "-$1" || break
        sleep 0.2
    done
    rm -rf -- "$2"
"#;

/// A process with all its descendants.
#[derive(Debug)]
pub struct ProcessGroup {
    name: String,
    leader: Child,
    guard: Child,
    log: PathBuf,
}

impl ProcessGroup {
    /// Starts `command`, with its output in `folder/NAME.log`. The guard removes the folder when the
    /// test process dies without letting go of the group.
    #[must_use]
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("the log can be opened");
        let leader = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("the log can be shared"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", &leader.id().to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell can be started");
        Self {
            name: name.to_owned(),
            leader,
            guard,
            log,
        }
    }

    /// Everything it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        let mut bytes = Vec::new();
        File::open(&self.log)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .expect("the log can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How much it has written so far, in bytes.
    #[must_use]
    pub fn log_len(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// The process id of its leader.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.leader.id()
    }

    /// Asks its leader to end, as a service manager does.
    pub fn terminate(&self) {
        // Gone already is as good as asked.
        let _ = kill_process(self.pid(), Signal::TERM);
    }

    /// Does what Ctrl-C does in its terminal: asks everything in the group to end.
    pub fn interrupt(&self) {
        // Gone already is as good as asked.
        let _ = kill_process_group(self.pid(), Signal::INT);
    }

    /// Stops its leader as it is, until [`ProcessGroup::thaw`]: what an overloaded machine looks like
    /// to everyone else.
    pub fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).expect("it runs");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).expect("it runs");
    }

    /// Waits until its leader has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("{} to end", self.name);
        until_blocking(&what, || {
            self.leader.try_wait().expect("a child can be waited for")
        })
    }

    /// Whether its leader has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.leader.try_wait().expect("a child can be waited for")
    }

    /// Kills everything in the group with SIGKILL, and waits for its leader's end.
    pub fn kill(&mut self) {
        // Fails only where nothing is left to be killed.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.leader.wait();
        // The guard is not needed any more, and must not fire at a group that has this number later.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.leader)
    }

    /// Shows what it has written from byte `from` on, for whoever reads of a failed test.
    pub fn show_log(&self, from: u64) {
        let log = self.log();
        let from = usize::try_from(from).unwrap_or(0);
        let shown = log.get(from..).unwrap_or(&log);
        println!("--- {} said:\n{}\n---", self.name, shown.trim_end());
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            self.show_log(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use tempfile::TempDir;

    use super::*;

    /// A shell with a child of its own.
    fn family(folder: &Path) -> ProcessGroup {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $! ; wait"]);
        ProcessGroup::start("family", command, folder)
    }

    /// The child's process id, once the shell has told it.
    fn child(family: &ProcessGroup) -> Pid {
        until_blocking("the child's number", || {
            family.log().trim().parse().ok().and_then(Pid::from_raw)
        })
    }

    fn is_gone(pid: Pid) -> Option<()> {
        rustix::process::test_kill_process(pid).err().map(|_| ())
    }

    #[test]
    fn a_dropped_group_is_gone_with_all_its_members() {
        let folder = TempDir::new().unwrap();
        let family = family(folder.path());
        let child = child(&family);
        drop(family);
        until_blocking("the child's end", || is_gone(child));
    }

    #[test]
    fn a_group_is_gone_with_its_folder_when_the_test_process_is() {
        let folder = TempDir::new().unwrap().keep();
        let mut family = family(&folder);
        let child = child(&family);
        // What the end of this process would do.
        drop(family.guard.stdin.take());
        assert_eq!(family.wait().signal(), Some(Signal::KILL.as_raw()));
        until_blocking("the child's end", || is_gone(child));
        until_blocking("the folder's end", || (!folder.exists()).then_some(()));
    }
}
