//! What a document has in fenced blocks, and what is said of them.

use std::fs;

use headstart_tests::edge_config::root;

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// The document's path, from the repository's root.
    pub document: String,
    /// The number of the line before its first.
    pub line: usize,
    /// What stands after the fence: `sh`, `toml`, or nothing.
    pub language: String,
    pub text: String,
    marks: Vec<Mark>,
}

/// What a comment says of the block after it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    NotRun { start: String, reason: String },
    UntilCtrlC { start: String },
    File(String),
}

/// A command of a block.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub number: usize,
    pub text: String,
    pub how: How,
}

/// How a command is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    ToItsEnd,
    UntilCtrlC,
    NotAtAll { reason: String },
}

/// Every block of `README.md` and of `docs/`, in order.
pub fn all_blocks() -> Vec<Block> {
    documents()
        .iter()
        .flat_map(|(name, text)| blocks(name, text))
        .collect()
}

/// Names and texts of the documents, `README.md` first.
pub fn documents() -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join("docs")).expect("docs/ can be listed");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("docs/ can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter_map(|path| Some(format!("docs/{}", path.file_name()?.to_str()?)))
        .collect();
    names.sort();
    names.insert(0, "README.md".to_owned());
    let read = |name: String| {
        let text = fs::read_to_string(root().join(&name)).expect("a document is text");
        (name, text)
    };
    names.into_iter().map(read).collect()
}

fn blocks(document: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut marks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let trimmed = line.trim_start();
        if let Some(language) = trimmed.strip_prefix("```") {
            let indent = line.len() - trimmed.len();
            let inside = lines.by_ref().map(|(_, line)| line);
            let inside: Vec<_> = inside
                .take_while(|line| line.trim_start() != "```")
                .map(|line| line.get(indent..).unwrap_or_default())
                .collect();
            blocks.push(Block {
                document: document.to_owned(),
                line: index + 1,
                language: language.trim().to_owned(),
                text: inside.join("\n"),
                marks: std::mem::take(&mut marks),
            });
        } else if let Some(comment) = comment(trimmed) {
            marks.extend(Mark::parse(comment));
        } else {
            marks.clear();
        }
    }
    blocks
}

/// What a line says that is nothing but a comment.
fn comment(line: &str) -> Option<&str> {
    line.trim_end().strip_prefix("<!-- ")?.strip_suffix(" -->")
}

impl Mark {
    fn parse(comment: &str) -> Option<Self> {
        let (kind, rest) = comment.split_once(": ")?;
        let (start, reason) = rest
            .strip_prefix('`')
            .and_then(|rest| rest.split_once('`'))
            .unwrap_or(("", rest));
        let (start, reason) = (start.to_owned(), reason.trim().to_owned());
        match kind {
            "not run" => Some(Self::NotRun { start, reason }),
            "until Ctrl-C" => Some(Self::UntilCtrlC { start }),
            "file" => Some(Self::File(rest.to_owned())),
            _ => None,
        }
    }

    /// How it lets `command` run, where it is about it.
    fn how(&self, command: &str) -> Option<How> {
        match self {
            Self::NotRun { start, reason } if command.starts_with(start) => Some(How::NotAtAll {
                reason: reason.clone(),
            }),
            Self::UntilCtrlC { start } if command.starts_with(start) => Some(How::UntilCtrlC),
            _ => None,
        }
    }
}

impl Block {
    /// Lines of shell that stand in no document; those that begin with `until_ctrl_c` run until then.
    pub fn of_shell(place: &str, text: &str, until_ctrl_c: &str) -> Self {
        let lines: Vec<_> = text.lines().map(str::trim_start).collect();
        let start = until_ctrl_c.to_owned();
        Self {
            document: place.to_owned(),
            line: 0,
            language: "sh".to_owned(),
            text: lines.join("\n"),
            marks: vec![Mark::UntilCtrlC { start }],
        }
    }

    /// The file that it is a part of, where that is said.
    pub fn file(&self) -> Option<&str> {
        self.marks.iter().find_map(|mark| match mark {
            Mark::File(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Its commands. One that goes on after a backslash is one.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        let mut goes_on = false;
        for (index, text) in self.text.lines().enumerate() {
            if goes_on {
                let line = lines.last_mut().expect("something goes on");
                line.text = format!("{}\n{text}", line.text);
            } else if !text.trim().is_empty() && !text.starts_with('#') {
                let how = self.marks.iter().find_map(|mark| mark.how(text));
                lines.push(Line {
                    number: self.line + index + 1,
                    text: text.to_owned(),
                    how: how.unwrap_or(How::ToItsEnd),
                });
            }
            goes_on = text.ends_with('\\');
        }
        lines
    }

    /// Marks that are about none of its lines: something was renamed.
    pub fn idle_marks(&self) -> Vec<String> {
        let lines = self.lines();
        let idle = |mark: &&Mark| {
            !matches!(mark, Mark::File(_))
                && !lines.iter().any(|line| mark.how(&line.text).is_some())
        };
        let idle = self.marks.iter().filter(idle);
        idle.map(|mark| format!("{}:{}: {mark:?}", self.document, self.line))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Words.

<!-- not run: `make test` runs this -->
<!-- until Ctrl-C: `tail` -->
```sh
make demo    # a comment
# only a comment

make test
tail -f \\
  log
```

1. A list:
   ```toml
   a = 1
   ```

<!-- not run: it takes long -->
```sh
make bench
```

<!-- not run: `make` -->

```sh
ls
```
";

    fn how(block: &Block) -> Vec<(usize, String, How)> {
        let lines = block.lines().into_iter();
        lines
            .map(|line| (line.number, line.text, line.how))
            .collect()
    }

    fn not_at_all(reason: &str) -> How {
        How::NotAtAll {
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_block_has_its_lines_and_what_is_said_right_before_it() {
        let blocks = blocks("A.md", TEXT);
        let languages: Vec<_> = blocks.iter().map(|block| &block.language).collect();
        assert_eq!(languages, ["sh", "toml", "sh", "sh"]);
        assert_eq!(
            how(&blocks[0]),
            [
                (6, "make demo    # a comment".to_owned(), How::ToItsEnd),
                (9, "make test".to_owned(), not_at_all("runs this")),
                (10, "tail -f \\\n  log".to_owned(), How::UntilCtrlC),
            ]
        );
        assert_eq!(blocks[1].text, "a = 1");
        assert_eq!(
            how(&blocks[2]),
            [(21, "make bench".to_owned(), not_at_all("it takes long"))]
        );
        // What has a line between them and the block is not about it.
        assert_eq!(how(&blocks[3]), [(27, "ls".to_owned(), How::ToItsEnd)]);
    }

    #[test]
    fn a_mark_that_is_about_no_line_is_told() {
        let text = "<!-- not run: `make tset` runs this -->\n```sh\nmake test\n```\n";
        let block = &blocks("A.md", text)[0];
        assert_eq!(block.idle_marks().len(), 1, "{block:?}");
        let idle = blocks("A.md", TEXT)
            .iter()
            .map(Block::idle_marks)
            .collect::<Vec<_>>();
        assert_eq!(idle.concat(), Vec::<String>::new());
    }

    #[test]
    fn a_file_is_named() {
        let text = "<!-- file: origin.toml -->\n```toml\na = 1\n```\n";
        assert_eq!(blocks("A.md", text)[0].file(), Some("origin.toml"));
    }
}
