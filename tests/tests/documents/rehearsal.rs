//! What can be checked of a command that is not run.

/// A harmless command that shows whether another one would be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Rehearsal {
    pub command: String,
    /// What the help has to know, where help is what is asked for.
    wanted: Option<Wanted>,
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    words: Vec<String>,
    flags: Vec<String>,
}

impl Rehearsal {
    /// The one for `line`, if there is any.
    pub fn of(line: &str) -> Option<Self> {
        let (line, _comment) = line.split_once(" #").unwrap_or((line, ""));
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            // Shows what would go, and sends nothing.
            ["npx", "wrangler", "deploy", rest @ ..] => Some(Self::running(
                &["npx wrangler deploy --dry-run", &rest.join(" ")].join(" "),
            )),
            ["npx", "wrangler", rest @ ..] => Some(Self::asking(rest)),
            ["make", rest @ ..] => {
                Some(Self::running(&format!("make --dry-run {}", rest.join(" "))))
            }
            // Takes the one that is built already.
            ["cargo", "install", "--path", "origin-publisher", "--locked"] => Some(Self::running(
                r#"export PATH="$PATH:${CARGO_TARGET_DIR:-$PWD/target}/origin""#,
            )),
            [
                "cargo",
                "run",
                "--release",
                "-p",
                package,
                "--example",
                example,
            ] => Some(Self::running(&format!(
                "cargo pkgid --offline -p {package} && test -e crates/*/examples/{example}*"
            ))),
            _ => None,
        }
    }

    fn running(command: &str) -> Self {
        Self {
            command: command.trim_end().to_owned(),
            wanted: None,
        }
    }

    fn asking(arguments: &[&str]) -> Self {
        let is_flag = |word: &&&str| word.starts_with("--");
        let flags = arguments
            .iter()
            .filter(is_flag)
            .map(|flag| (*flag).to_owned())
            .collect();
        let words = arguments.iter().take_while(|word| !is_flag(word));
        let words: Vec<_> = words.map(|word| (*word).to_owned()).collect();
        Self {
            command: format!("npx wrangler {} --help", words.join(" ")),
            wanted: Some(Wanted { words, flags }),
        }
    }

    /// Whether what it printed means that the command would be understood.
    pub fn judge(&self, printed: &str) -> Result<(), String> {
        let Some(Wanted { words, flags }) = &self.wanted else {
            return Ok(());
        };
        let usage = printed.lines().find(|line| line.starts_with("wrangler"));
        let usage = usage.ok_or_else(|| format!("the help says no usage:\n{printed}"))?;
        let mut usage = usage.split_whitespace().skip(1).peekable();
        for word in words {
            match usage.next() {
                Some(argument) if argument.starts_with(['<', '[']) => {}
                Some(name) if name == word => {}
                other => return Err(format!("wrangler knows no {word:?} there, but {other:?}")),
            }
        }
        if let Some(needed) = usage.find(|argument| !argument.starts_with('[')) {
            return Err(format!("wrangler wants {needed} too"));
        }
        match flags.iter().find(|flag| !printed.contains(*flag)) {
            Some(flag) => Err(format!("wrangler knows no {flag} there")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str =
        "\nwrangler kv namespace delete [namespace]\n\nOPTIONS\n  --namespace-id  The id\n";

    #[test]
    fn a_command_of_wrangler_is_looked_up_in_its_help() {
        let rehearsal =
            Rehearsal::of("npx wrangler kv namespace delete --namespace-id 12   # gone").unwrap();
        assert_eq!(rehearsal.command, "npx wrangler kv namespace delete --help");
        assert_eq!(rehearsal.judge(HELP), Ok(()));
        for wrong in [
            "kv namespace remove",
            "kv namespace delete --id 12",
            "kv namespaces delete",
        ] {
            let rehearsal = Rehearsal::of(&format!("npx wrangler {wrong}")).unwrap();
            assert!(rehearsal.judge(HELP).is_err(), "{wrong}");
        }
        let put = Rehearsal::of("npx wrangler secret put").unwrap();
        assert!(put.judge("wrangler secret put <key>").is_err());
        // An unknown command gets the help of all of them.
        assert!(put.judge("wrangler secret").is_err());
    }

    #[test]
    fn a_deployment_stays_here() {
        let rehearsal =
            Rehearsal::of("npx wrangler deploy --secrets-file edge.env    # the edge").unwrap();
        assert_eq!(
            rehearsal.command,
            "npx wrangler deploy --dry-run --secrets-file edge.env"
        );
        assert_eq!(Rehearsal::of("apt-get install nginx"), None);
    }
}
