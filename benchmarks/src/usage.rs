//! What a process uses of the machine, as Linux counts it.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context;
use headstart_tests::edge_config::root;

use crate::table::median_time;

/// A running process.
#[derive(Debug, Clone, Copy)]
pub struct Process(u32);

impl Process {
    /// This program.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// The process with this id.
    pub fn with_id(id: u32) -> Self {
        Self(id)
    }

    /// The process that runs `program` and was started by `leader` or one of its children; of several
    /// the last in line.
    pub fn of(leader: u32, program: &str) -> Option<Self> {
        let mut found = None;
        let mut ancestors = vec![leader];
        while let Some(parent) = ancestors.pop() {
            for child in children(parent) {
                ancestors.push(child);
                let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
                if name.trim() == program {
                    found = Some(Self(child));
                }
            }
        }
        found
    }

    /// Its resident memory, in bytes.
    pub fn resident(self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(self.file("status"))?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse::<u64>().ok());
        Ok(kilobytes.context("no VmRSS in a process's status")? * 1024)
    }

    /// How many files and connections it has open.
    pub fn open_files(self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(self.file("fd"))?.count())
    }

    /// For how long all of its threads have been running.
    pub fn busy(self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(self.file("task"))? {
            match fs::read_to_string(task?.path().join("schedstat")) {
                Ok(text) => {
                    let running = text.split_whitespace().next().unwrap_or_default();
                    nanos += running.parse::<u64>().context("a task's schedstat")?;
                }
                // A thread that has ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }
}

/// How long the disk of temporary files takes to make 4 KiB durable, in the middle of many times: every
/// server waits for that before it tells of anything.
pub fn flush() -> anyhow::Result<Duration> {
    let mut file = tempfile::tempfile()?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    Ok(median_time(times))
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| parent_of(*id) == Some(parent))
        .collect()
}

fn parent_of(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in brackets may hold spaces, and brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// The machine, how busy others keep it, and the versions of what is measured.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let workerd = root().join("node_modules/.bin/workerd");
    format!(
        "{cores} cores ({}), Linux {}, load before {}\n{}; {}",
        model.as_deref().unwrap_or("unknown"),
        kernel.trim(),
        load.split(' ').next().unwrap_or_default(),
        said(Command::new(workerd).arg("--version")),
        said(Command::new("nginx").arg("-v"))
    )
}

/// What a program answers when it is asked for its version, wherever it writes that.
fn said(question: &mut Command) -> String {
    question.output().map_or_else(
        |error| error.to_string(),
        |output| {
            let text = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&text).trim().to_owned()
        },
    )
}
