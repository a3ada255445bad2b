//! Every line of shell works as it is printed.

use std::collections::BTreeSet;

use headstart_tests::{
    process::ProcessGroup,
    wait::{LONG, within_time},
};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    checkout::Checkout,
    document::{Block, How, Line, all_blocks},
    rehearsal::Rehearsal,
    terminal::{Printed, Terminal},
};

/// What lines that begin so have to print, as the documents say or a reader would expect.
const EXPECTED: &[(&str, &[&str])] = &[
    ("make demo", &["already positioned", "felt wait"]),
    ("origin-publisher login 40228 --json", &["\"felt_ms\""]),
    (
        "origin-publisher login 40228",
        &["felt wait", "already positioned"],
    ),
    ("origin-publisher login 40143 --way sse", &["p50"]),
    ("origin-publisher publish", &["accepted"]),
    (
        "origin-publisher subscribe scores/nba --latest",
        &["scores/nba", "71"],
    ),
    ("origin-publisher token", &["."]),
    (
        "origin-publisher load",
        &["losses 0, duplicates 0, out of order 0"],
    ),
    (
        "curl 'http://127.0.0.1:8787/topics/scores/nba?since=0'",
        &["71"],
    ),
    (
        "curl 'http://127.0.0.1:8787/topics/scores/nba/subscribers'",
        &["\"subscribers\""],
    ),
    (
        "curl -i -X POST http://127.0.0.1:8787/login",
        &["202 Accepted", "\"ticket\""],
    ),
    ("python3 -m http.server", &["Serving HTTP"]),
    (
        "npx wrangler deploy --dry-run",
        &["env.CONTENT", "--dry-run: exiting now"],
    ),
];

/// What `make dev` prints before the lines that it proposes.
const PROPOSES: &str = "Try, in another terminal:";

/// What it prints after them.
const ENDS: &str = "Ctrl-C ends both.";

#[test]
fn every_line_works_as_printed() {
    Checkout::enter("lines::every_line_works_as_printed", run);
}

async fn run(checkout: &Checkout) {
    let dev = Dev::start(checkout).await;
    let mut run = Run::default();
    for block in all_blocks().iter().chain([&dev.proposal()]) {
        run.faults.extend(block.idle_marks());
        if block.language == "sh" {
            run.block(checkout, block).await;
        }
    }
    let unmet = EXPECTED.iter().map(|(start, _)| *start);
    let unmet = unmet.filter(|start| !run.met.contains(start));
    run.faults
        .extend(unmet.map(|start| format!("no line begins with {start:?} any more")));
    dev.end();
    assert!(run.faults.is_empty(), "{}", run.faults.join("\n\n"));
}

#[derive(Debug, Default)]
struct Run {
    faults: Vec<String>,
    /// Which of [`EXPECTED`] had a line.
    met: BTreeSet<&'static str>,
}

impl Run {
    async fn block(&mut self, checkout: &Checkout, block: &Block) {
        let mut terminal = Terminal::open(checkout);
        for line in block.lines() {
            let place = format!("{}:{}", block.document, line.number);
            if let How::NotAtAll { reason } = &line.how {
                println!("{place}: not run: {} ({reason})", line.text);
            } else {
                println!("{place}: {}", line.text);
            }
            if let Err(fault) = self.line(&mut terminal, &line).await {
                self.faults.push(format!("{place}: {}\n{fault}", line.text));
            }
        }
    }

    async fn line(&mut self, terminal: &mut Terminal, line: &Line) -> Result<(), String> {
        let printed = match &line.how {
            How::ToItsEnd => terminal.run(&line.text).await,
            How::UntilCtrlC => terminal.run_until_ctrl_c(&line.text).await,
            How::NotAtAll { .. } => {
                let Some(rehearsal) = Rehearsal::of(&line.text) else {
                    return Ok(());
                };
                let printed = succeeded(terminal.run(&rehearsal.command).await)?;
                return rehearsal.judge(&printed.text);
            }
        };
        let printed = succeeded(printed)?;
        let expected = EXPECTED
            .iter()
            .find(|(start, _)| line.text.starts_with(start));
        let Some((start, words)) = expected else {
            return Ok(());
        };
        self.met.insert(start);
        match words.iter().find(|word| !printed.text.contains(**word)) {
            Some(word) => Err(format!("does not print {word:?}, but:\n{}", printed.text)),
            None => Ok(()),
        }
    }
}

fn succeeded(printed: Printed) -> Result<Printed, String> {
    if printed.status == 0 {
        Ok(printed)
    } else {
        Err(format!(
            "ended with status {}:\n{}",
            printed.status, printed.text
        ))
    }
}

/// `make dev`, as in a terminal of its own.
#[derive(Debug)]
struct Dev {
    process: ProcessGroup,
    _folder: TempDir,
}

impl Dev {
    /// Starts it, and waits until both parts run.
    async fn start(checkout: &Checkout) -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        let mut command = checkout.command("make");
        command.arg("dev");
        let mut process = ProcessGroup::start("make dev", command, folder.path());
        // It builds first.
        within_time(LONG * 4, "make dev to start both parts", async {
            while !process.log().contains(ENDS) {
                if let Some(status) = process.ended() {
                    panic!("make dev ended with {status}");
                }
                sleep(std::time::Duration::from_millis(200)).await;
            }
        })
        .await;
        Self {
            process,
            _folder: folder,
        }
    }

    /// The lines that it proposes, as a block.
    fn proposal(&self) -> Block {
        let log = self.process.log();
        let (_, proposal) = log.split_once(PROPOSES).expect("it proposes something");
        let (proposal, _) = proposal.split_once(ENDS).expect("it says how it ends");
        Block::of_shell(
            "what make dev prints",
            proposal,
            "origin-publisher subscribe",
        )
    }

    /// Presses Ctrl-C, and waits until it has ended both parts.
    fn end(mut self) {
        self.process.interrupt();
        let status = self.process.wait();
        println!("make dev ended with {status}");
        assert!(
            !self.process.log().contains("has ended; it says why above"),
            "{}",
            self.process.log()
        );
    }
}
