//! What `scripts/deployment.sh` makes can be deployed, and is the deployment's own.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output},
};

use headstart_tests::{
    edge_config::{EdgeConfig, root, worker},
    origin::binary,
};
use tempfile::TempDir;
use toml::Table;

use crate::{checkout::copy_tracked, settings};

/// Ids as the provider gives them.
const NAMESPACE: &str = "0f2ac74b498b48028cb68387c421e279";
const ACCOUNT: &str = "9a7806061c88ada191ed06f989cc3dac";

/// The files of a deployment.
const FILES: [&str; 4] = ["wrangler.toml", "edge.env", "origin.toml", "origin.env"];

/// A fresh copy of the project, with the Worker that is built already.
struct Project(TempDir);

impl Project {
    fn new() -> Self {
        let folder = TempDir::with_prefix("headstart-deployment-").unwrap();
        copy_tracked(folder.path());
        symlink(
            root().join("node_modules"),
            folder.path().join("node_modules"),
        )
        .unwrap();
        let build = worker();
        let build = build.parent().expect("it lies in a folder");
        symlink(build, folder.path().join("edge-worker/build")).unwrap();
        Self(folder)
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.folder().join("scripts/deployment.sh"));
        command.args(arguments).output().unwrap()
    }

    /// Makes a deployment, and gives its files' texts.
    fn deployment(&self, name: &str) -> [String; 4] {
        let output = self.run(&[name, NAMESPACE, ACCOUNT]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        FILES.map(|file| fs::read_to_string(self.path(name).join(file)).unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder().join("deployments").join(name)
    }

    /// Deploys dry with the settings `config` in `folder`, without building; gives what is said.
    fn deploy_dry(&self, folder: &Path, mut config: Table, arguments: &[&str]) -> String {
        config
            .remove("build")
            .expect("the Worker is built on the way");
        fs::write(folder.join("wrangler.toml"), config.to_string()).unwrap();
        let tools = self.folder().join("node_modules/.bin");
        let output = Command::new(tools.join("node"))
            .arg(tools.join("wrangler"))
            .args(["deploy", "--dry-run"])
            .args(arguments)
            .current_dir(folder)
            .env("WRANGLER_SEND_METRICS", "false")
            .env("WRANGLER_LOG_PATH", self.folder().join("logs"))
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("WARNING") && !said.contains("▲"), "{said}");
        said
    }
}

fn table(text: &str) -> Table {
    text.parse().expect("settings are TOML")
}

fn projects_own() -> Table {
    table(&fs::read_to_string(root().join("wrangler.toml")).unwrap())
}

fn value<'a>(file: &'a str, name: &str) -> &'a str {
    let values = file.lines().filter_map(|line| line.split_once('='));
    let mut values = values.filter(|(known, _)| *known == name);
    values
        .next()
        .unwrap_or_else(|| panic!("{name} is missing"))
        .1
}

#[test]
fn a_deployment_is_made_once_for_both_sides_and_is_private() {
    let project = Project::new();
    let made = project.deployment("production");
    let [_, edge, origin_config, origin] = &made;
    for (edge_name, origin_name) in [
        ("TICKET_KEY", "HEADSTART_TICKET_KEY"),
        ("ORIGIN_KEYS", "HEADSTART_ORIGIN_KEY"),
        ("LOGIN_KEYS", "HEADSTART_LOGIN_KEY"),
        ("TOKEN_KEYS", "HEADSTART_TOKEN_KEY"),
    ] {
        assert_eq!(value(edge, edge_name), value(origin, origin_name));
    }
    assert!(!edge.contains("LOGIN_AUTH"), "open logins are for a laptop");
    assert!(origin_config.contains(NAMESPACE) && origin_config.contains(ACCOUNT));
    for file in FILES {
        let metadata = fs::metadata(project.path("production").join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_eq!(
        project.deployment("production"),
        made,
        "a second run changes nothing"
    );
    // Even where half of it is gone, the keys of the other half stay.
    fs::remove_file(project.path("production").join("edge.env")).unwrap();
    assert_eq!(project.deployment("production"), made);
    assert_ne!(
        value(&project.deployment("staging")[1], "TICKET_KEY"),
        value(edge, "TICKET_KEY")
    );
}

#[test]
fn what_is_missing_in_a_new_deployment_is_said_before_anything_starts() {
    let project = Project::new();
    let [.., origin] = project.deployment("production");
    let output = Command::new(binary())
        .args(["config", "check", "--config", "origin.toml"])
        .current_dir(project.path("production"))
        .envs(origin.lines().filter_map(|line| line.split_once('=')))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("url"), "{said}");
}

#[test]
fn wrong_ids_are_told_apart_from_right_ones() {
    let project = Project::new();
    for arguments in [
        &["Production", NAMESPACE, ACCOUNT] as &[&str],
        &["../production", NAMESPACE, ACCOUNT],
        &["production", "headstart-content", ACCOUNT],
        &["production", NAMESPACE],
        &[],
    ] {
        let output = project.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("usage"),
            "{arguments:?}"
        );
    }
    assert!(!project.folder().join("deployments").exists());
}

#[test]
fn deployments_of_one_account_share_nothing_and_are_deployed_without_a_warning() {
    let project = Project::new();
    let [production, staging] = ["production", "staging"].map(|name| {
        let [config, ..] = project.deployment(name);
        let said = project.deploy_dry(
            &project.path(name),
            table(&config),
            &["--secrets-file", "edge.env"],
        );
        for binding in ["DESKS", "TOPICS", "RELAYS", "LOGIN_LIMIT", "TOKEN_KEYS"] {
            assert!(
                said.contains(&format!("env.{binding} (")),
                "{binding}:\n{said}"
            );
        }
        assert!(
            said.contains(&format!("env.CONTENT ({NAMESPACE})")),
            "{said}"
        );
        table(&config)
    });
    assert_ne!(production["name"], staging["name"]);
    let limit = |config: &Table| config["ratelimits"][0]["namespace_id"].clone();
    assert_ne!(limit(&production), limit(&staging));
    // All else is as the project has it.
    let project = projects_own();
    for table in [
        "vars",
        "durable_objects",
        "migrations",
        "observability",
        "compatibility_date",
    ] {
        assert_eq!(production[table], project[table], "{table}");
    }
}

#[test]
fn the_projects_own_settings_are_deployed_dry_without_a_warning() {
    let project = Project::new();
    project.deploy_dry(project.folder(), projects_own(), &[]);
}

#[test]
fn wrangler_takes_the_settings_of_every_block() {
    let project = Project::new();
    let [config, ..] = project.deployment("production");
    let blocks = settings::of_file("wrangler.toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        let mut with_block = table(&config);
        with_block.extend(table(&block.text));
        project.deploy_dry(&project.path("production"), with_block, &[]);
    }
}

#[test]
fn the_secrets_are_those_that_the_edge_knows() {
    let project = Project::new();
    let [_, edge, ..] = project.deployment("production");
    let names = |file: &str| -> Vec<String> {
        let lines = file.lines().filter_map(|line| line.split_once('='));
        lines.map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(names(&edge), names(&EdgeConfig::default().dev_vars()));
    for block in crate::document::all_blocks() {
        for line in block.lines() {
            let Some((_, rest)) = line.text.split_once("wrangler secret put ") else {
                continue;
            };
            let name = rest.split_whitespace().next().unwrap_or_default();
            assert!(
                names(&edge).iter().any(|known| known == name),
                "{}",
                line.text
            );
        }
    }
}

#[test]
fn systemd_takes_the_unit() {
    let folder = TempDir::new().unwrap();
    let unit = fs::read_to_string(root().join("deploy/headstart-origin.service")).unwrap();
    // The program is not installed here.
    let program = binary().display().to_string();
    let path = folder.path().join("headstart-origin.service");
    fs::write(
        &path,
        unit.replace("/usr/local/bin/origin-publisher", &program),
    )
    .unwrap();
    let Ok(output) = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&path)
        .output()
    else {
        println!("skipped: there is no systemd-analyze here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_program_takes_the_units_command() {
    let unit = fs::read_to_string(root().join("deploy/headstart-origin.service")).unwrap();
    let command = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/origin-publisher "));
    let arguments = command.expect("it starts the program").split(' ');
    // Nothing is where the unit looks for it, and that is all that is wrong.
    let output = Command::new(binary()).args(arguments).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("/etc/headstart/origin.toml"), "{said}");
}
