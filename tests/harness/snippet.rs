//! The snippets of docs/deploy.md, by name: what the document shows is what
//! the tests start. A named block begins with ```` ```LANGUAGE NAME ````.

use std::path::Path;

/// A fenced block of the document.
pub struct Block {
    pub language: String,
    /// Empty where the document gives none.
    pub name: String,
    pub text: String,
    pub line: usize,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All fenced blocks of docs/deploy.md in their order.
pub fn blocks() -> Vec<Block> {
    let document = std::fs::read_to_string(root().join("docs/deploy.md")).expect("docs/deploy.md");
    let mut found: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (number, line) in document.lines().enumerate() {
        let Some(fence) = line.trim_start().strip_prefix("```") else {
            if let Some(block) = found.last_mut().filter(|_| is_inside) {
                block.text.push_str(line);
                block.text.push('\n');
            }
            continue;
        };
        is_inside = !is_inside;
        if is_inside {
            let (language, name) = fence.trim().split_once(' ').unwrap_or((fence.trim(), ""));
            let (language, name) = (language.to_owned(), name.trim().to_owned());
            found.push(Block { language, name, text: String::new(), line: number + 1 });
        }
    }
    assert!(!is_inside, "docs/deploy.md: the last block has no end");
    found
}

/// The text of one block of docs/deploy.md.
pub fn snippet(name: &str) -> String {
    let mut named = blocks().into_iter().filter(|block| block.name == name);
    let block = named.next().unwrap_or_else(|| panic!("docs/deploy.md has no block {name:?}"));
    assert!(named.next().is_none(), "docs/deploy.md has two blocks {name:?}");
    block.text
}

/// A file of etc/, for those that the document does not show whole.
pub fn etc(name: &str) -> String {
    let path = root().join("etc").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
