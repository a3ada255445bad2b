//! Every link to a file of the project leads to one.

use std::path::Path;

use headstart_tests::edge_config::root;

use crate::document::documents;

#[test]
fn every_link_within_the_project_leads_somewhere() {
    for (name, text) in documents() {
        let path = root().join(&name);
        let folder = path.parent().expect("a document lies in a folder");
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{name}: {link}");
            assert!(
                heading.is_empty() || headings(&target).any(|known| known == heading),
                "{name}: {link}"
            );
        }
    }
}

/// What stands in `](...)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
}

/// The names under which a document's headings are linked to.
fn headings(document: &Path) -> impl Iterator<Item = String> {
    let text = std::fs::read_to_string(document).expect("a document is text");
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let headings = lines.into_iter().filter(|line| line.starts_with('#'));
    headings.map(|heading| {
        let words = heading
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .replace(' ', "-");
        words
            .chars()
            .filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter))
            .collect()
    })
}
