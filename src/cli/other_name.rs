//! Started under the name `mapproxy-util`, rhumb takes that program's arguments.

use std::ffi::OsString;
use std::path::Path;

const NAME: &str = "mapproxy-util";

/// Commands of mapproxy-util that are here, and by which name.
const COMMANDS: [(&str, &str); 4] = [
    ("serve-develop", "develop"),
    ("serve-multiapp-develop", "develop"),
    ("grids", "grids"),
    ("export", "export"),
];

/// The arguments as rhumb takes them; unchanged under any other name.
///
/// # Errors
/// What to tell of a command that is not here.
pub fn translate(mut arguments: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let name = arguments.first().map(Path::new).and_then(Path::file_stem);
    if name.is_none_or(|name| name != NAME) {
        return Ok(arguments);
    }
    let asked = arguments.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    if matches!(asked, "--version" | "--help" | "-h") {
        return Ok(arguments);
    }
    let Some((_, command)) = COMMANDS.iter().find(|(known, _)| *known == asked) else {
        let known = COMMANDS.map(|(known, _)| known).join(", ");
        return Err(format!("ERROR: unknown command {asked}; this program has: {known}"));
    };
    arguments[1] = (*command).into();
    if *command == "develop" {
        // Both are about Python: its debugger, and the configuration of its log.
        let at = |arguments: &[OsString], name: &str| arguments.iter().position(|word| word == name);
        if let Some(at) = at(&arguments, "--debug") {
            arguments.remove(at);
        }
        if let Some(at) = at(&arguments, "--log-config") {
            arguments.drain(at..arguments.len().min(at + 2));
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<String, String> {
        let words = translate(line.split(' ').map(OsString::from).collect())?;
        Ok(words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn only_the_other_name_changes_anything() {
        for (line, expected) in [
            ("/usr/bin/rhumb serve-develop", "/usr/bin/rhumb serve-develop"),
            ("mapproxy-util grids -f a", "mapproxy-util grids -f a"),
            (
                "/x/mapproxy-util serve-develop --debug -b :8080 --log-config log.ini a.yaml",
                "/x/mapproxy-util develop -b :8080 a.yaml",
            ),
        ] {
            assert_eq!(translated(line).as_deref(), Ok(expected));
        }
        assert!(translated("mapproxy-util autoconfig").is_err_and(|text| text.contains("autoconfig")));
    }
}
