//! What a person types: help, man page and README tell of the same commands.

use std::process::Command;

fn rhumb(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rhumb")).args(arguments).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_man_page_and_readme_agree() {
    let (code, help, _) = rhumb(&["--help"]);
    assert_eq!(code, Some(0));
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("a document");
    let man = read("etc/rhumb.1").replace("\\-", "-");
    let readme = read("README.md");
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.split_whitespace().next())
        .filter(|c| *c != "help")
        .collect();
    assert!(commands.len() >= 4, "{help}");
    for command in commands {
        assert!(man.contains(&format!(".B {command}\n")), "the man page lacks {command}");
        assert!(readme.contains(&format!("rhumb {command}")), "the README lacks {command}");
        let (code, text, _) = rhumb(&[command, "--help"]);
        assert_eq!(code, Some(0));
        for option in text.split_whitespace().filter(|w| w.starts_with("--") && *w != "--help") {
            let option = option.trim_end_matches([',', ']', '.']);
            assert!(man.contains(option), "the man page lacks {option} of {command}");
        }
    }
    // One table is the source for the handler, the command and the manual.
    for row in rhumb::master::TABLE.iter().filter(|row| !row.meaning.is_empty()) {
        let name = row.signal.as_str().trim_start_matches("SIG");
        let entry = format!(".TP\n.B {name}\n{}\n", row.meaning);
        assert!(man.contains(&entry), "the man page lacks\n{entry}");
    }
    for signal in ["HUP", "QUIT", "TERM"] {
        assert!(help.contains(signal) && man.contains(signal) && readme.contains(signal), "{signal}");
    }
}

#[test]
fn mistakes_are_named_and_end_with_their_codes() {
    for (arguments, code, told) in [
        (&["relaod"][..], 1, "unrecognized subcommand"),
        (&["reload"], 1, "--config"),
        (&["serve"], 1, "--config"),
        (&["develop", "--bind", "nowhere"], 1, "nowhere"),
        (&["check", "/nonexistent/map.yaml"], 2, "/nonexistent/map.yaml"),
        (&["serve", "-c", "/nonexistent/rhumb.yaml"], 2, "/nonexistent/rhumb.yaml"),
    ] {
        let (status, out, err) = rhumb(arguments);
        assert_eq!(status, Some(code), "{arguments:?}\n{out}{err}");
        assert!(
            out.contains(told) || err.contains(told),
            "{arguments:?} does not name {told:?}:\n{out}{err}"
        );
    }
}

#[test]
fn strict_refuses_what_draws_a_warning() {
    let dir = crate::harness::TestDir::new("check-strict");
    let sound = "services: {demo: }\nlayers: []\n";
    let (well, odd) = (dir.path().join("well.yaml"), dir.path().join("odd.yaml"));
    dir.write("well.yaml", sound);
    dir.write("odd.yaml", format!("{sound}servces: {{}}\n"));
    for (file, strict, code) in [(&well, false, 0), (&well, true, 0), (&odd, false, 0), (&odd, true, 2)] {
        let mut arguments = vec!["check", file.to_str().expect("a plain path")];
        arguments.extend(strict.then_some("--strict"));
        let (status, out, err) = rhumb(&arguments);
        assert_eq!(status, Some(code), "{arguments:?}\n{out}{err}");
    }
}
