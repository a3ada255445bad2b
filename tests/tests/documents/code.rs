//! Every block of Rust stands in an example, which is compiled and run.

use std::fs;

use headstart_tests::edge_config::root;

use crate::document::all_blocks;

#[test]
fn every_block_of_rust_is_a_part_of_an_example() {
    let folder = root().join("origin-publisher/examples");
    let examples = fs::read_dir(folder).expect("the examples can be listed");
    let texts: Vec<String> = examples
        .map(|entry| fs::read_to_string(entry.unwrap().path()).expect("an example is text"))
        .collect();
    for block in all_blocks().iter().filter(|block| block.language == "rust") {
        assert!(
            texts.iter().any(|text| text.contains(&block.text)),
            "{block:?}"
        );
    }
}
