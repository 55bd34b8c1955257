//! `rhumb create DIR`: a directory to start from, with the same files that
//! lie in `etc/` of the sources.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Name below `etc/` and content.
const FILES: [(&str, &str); 18] = [
    ("rhumb.yaml", include_str!("../../etc/rhumb.yaml")),
    ("develop.yaml", include_str!("../../etc/develop.yaml")),
    ("mapproxy.yaml", include_str!("../../etc/mapproxy.yaml")),
    ("seed.yaml", include_str!("../../etc/seed.yaml")),
    ("rhumb.service", include_str!("../../etc/rhumb.service")),
    ("rhumb.socket", include_str!("../../etc/rhumb.socket")),
    ("rhumb-upgrade.path", include_str!("../../etc/rhumb-upgrade.path")),
    ("rhumb-upgrade.service", include_str!("../../etc/rhumb-upgrade.service")),
    ("nginx.conf", include_str!("../../etc/nginx.conf")),
    ("nginx-fastcgi.conf", include_str!("../../etc/nginx-fastcgi.conf")),
    ("nginx-uwsgi.conf", include_str!("../../etc/nginx-uwsgi.conf")),
    ("nginx-scgi.conf", include_str!("../../etc/nginx-scgi.conf")),
    ("lighttpd.conf", include_str!("../../etc/lighttpd.conf")),
    ("apache.conf", include_str!("../../etc/apache.conf")),
    ("apache-fcgi.conf", include_str!("../../etc/apache-fcgi.conf")),
    ("apache-fcgid.conf", include_str!("../../etc/apache-fcgid.conf")),
    ("fcgid.yaml", include_str!("../../etc/fcgid.yaml")),
    ("haproxy.cfg", include_str!("../../etc/haproxy.cfg")),
];

/// Writes the starter files below `directory`; refuses to overwrite any.
/// 0: written; 3: something is there already or cannot be written.
pub fn run(directory: PathBuf) -> ExitCode {
    match write_all(&directory) {
        Ok(()) => {
            let etc = directory.join("etc");
            println!("created {}", directory.display());
            println!(
                "  rhumb develop -c {}   serves it while you work on it",
                etc.join("develop.yaml").display()
            );
            println!("  rhumb serve -c {}     in production", etc.join("rhumb.yaml").display());
            ExitCode::SUCCESS
        }
        Err((path, error)) => {
            eprintln!("rhumb create: {}: {error}", path.display());
            ExitCode::from(3)
        }
    }
}

/// All or nothing as far as names go: what is there already is found before
/// the first file is written.
fn write_all(directory: &Path) -> Result<(), (PathBuf, io::Error)> {
    let etc = directory.join("etc");
    for (name, _) in FILES {
        let path = etc.join(name);
        if path.symlink_metadata().is_ok() {
            return Err((
                path,
                io::Error::new(io::ErrorKind::AlreadyExists, "is there already; nothing was written"),
            ));
        }
    }
    for folder in [&etc, &directory.join("var")] {
        std::fs::create_dir_all(folder).map_err(|error| (folder.clone(), error))?;
    }
    for (name, content) in FILES {
        let path = etc.join(name);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(|error| (path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{FileSet, daemon, load_map};

    #[test]
    fn what_is_created_has_no_fault_and_is_not_overwritten() {
        let directory = std::env::temp_dir().join(format!("rhumb-create-{}", std::process::id()));
        write_all(&directory).unwrap();
        let etc = directory.join("etc");
        for name in ["rhumb.yaml", "develop.yaml"] {
            let (daemon, findings) = daemon::load(&etc.join(name), &mut FileSet::reading());
            assert!(findings.is_empty(), "{findings:?}");
            assert_eq!(daemon.unwrap().maps, daemon::Maps::File(etc.join("mapproxy.yaml")));
        }
        let loaded = load_map(&etc.join("mapproxy.yaml"), &mut FileSet::reading());
        assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);

        std::fs::write(etc.join("nginx.conf"), "mine").unwrap();
        std::fs::remove_file(etc.join("rhumb.yaml")).unwrap();
        let (path, _) = write_all(&directory).unwrap_err();
        assert!(path.ends_with("develop.yaml"));
        assert!(!etc.join("rhumb.yaml").exists());
        assert_eq!(std::fs::read_to_string(etc.join("nginx.conf")).unwrap(), "mine");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
