//! Every block of settings is understood by the program that reads it.

use std::fs;

use headstart_tests::{
    edge_config::root,
    keys::{origin_key, ticket_key},
    origin::binary,
};
use tempfile::TempDir;

use crate::document::{Block, all_blocks};

/// The blocks of settings that are parts of the file `name`.
pub fn of_file(name: &str) -> Vec<Block> {
    let blocks = all_blocks().into_iter();
    blocks.filter(|block| block.file() == Some(name)).collect()
}

#[test]
fn every_block_of_settings_says_which_file_it_is_a_part_of() {
    for block in all_blocks().iter().filter(|block| block.language == "toml") {
        let known = ["origin.toml", "wrangler.toml"];
        let file = block.file();
        assert!(file.is_some_and(|file| known.contains(&file)), "{block:?}");
    }
}

#[test]
fn the_origin_takes_the_settings_of_every_block() {
    let blocks = of_file("origin.toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("origin.toml"), &block.text).unwrap();
        // The one that the settings name.
        let history = root().join("crates/retail/data/sample-retail.csv");
        fs::copy(history, folder.path().join("purchases.csv")).unwrap();
        let output = std::process::Command::new(binary())
            .args(["config", "check", "--config", "origin.toml"])
            .current_dir(&folder)
            .env("HEADSTART_TICKET_KEY", ticket_key().expose())
            .env("HEADSTART_ORIGIN_KEY", origin_key().expose())
            .env("HEADSTART_API_TOKEN", "token")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block:?}\n{said}");
    }
}
