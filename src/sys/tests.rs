//! What we ask the system for, asked of a real one.

use super::*;
use proptest::prelude::*;
use std::io::Write;
use std::os::unix::fs::FileExt;

#[test]
fn endings_in_words() {
    let table = [
        (0, "exited with code 0"),
        (3 << 8, "exited with code 3"),
        (9, "was ended by SIGKILL"),
        (6 | 0x80, "was ended by SIGABRT (core dumped)"),
        (40, "was ended by signal 40"),
        (0xffff, "ended with the odd status 0xffff"),
        (0x137f, "ended with the odd status 0x137f"),
    ];
    for (status, words) in table {
        assert_eq!(Ending::from_status(status).to_string(), words);
    }
    assert!(Ending::from_status(9).is_kill());
}

proptest! {
    #[test]
    fn every_status_word_has_an_answer(status: i32) {
        prop_assert!(!Ending::from_status(status).to_string().is_empty());
    }
}

#[test]
fn sealed_bytes_come_back_and_stay() {
    let fd = create_memory_file("test").expect("memory file");
    let mut file = File::from(fd.try_clone().expect("clone"));
    file.write_all(b"some bytes").expect("write");
    seal(&fd).expect("seal");
    assert_eq!(read_memory_file(&fd, 100).expect("read"), b"some bytes");
    assert_eq!(read_memory_file(&fd, 100).expect("read again"), b"some bytes");
    assert!(read_memory_file(&fd, 9).is_err());
    assert!(file.write_all_at(b"x", 0).is_err());
    assert!(file.set_len(0).is_err());
    assert!(closes_on_exec(&fd).expect("flags"));
}

#[test]
fn flock_excludes_another_opening() {
    let path = std::env::temp_dir().join(format!("rhumb-flock-{}", std::process::id()));
    let first = File::create(&path).expect("create");
    let second = File::open(&path).expect("open");
    assert!(try_flock(&first).expect("lock"));
    assert!(!try_flock(&second).expect("lock"));
    drop(first);
    assert!(try_flock(&second).expect("lock"));
    std::fs::remove_file(&path).expect("remove");
}

#[test]
fn a_cached_open_tells_missing_from_there() {
    let directory = std::env::temp_dir();
    let reads = CachedReads::try_directory(&directory).expect("probe");
    if !reads.open {
        return; // This kernel or sandbox has no openat2.
    }
    let path = directory.join(format!("rhumb-cached-{}", std::process::id()));
    std::fs::write(&path, b"tile").expect("write");
    let file = open_cached(&path).expect("cached");
    if reads.read {
        let mut buffer = [0; 8];
        let count = read_cached(&file, &mut buffer, 1).expect("read");
        assert_eq!(&buffer[..count], b"ile");
    }
    std::fs::remove_file(&path).expect("remove");
    assert!(open_cached(&directory.join("rhumb-was-never-here")).is_err());
}

#[test]
fn identity_is_optional_and_checked() {
    assert_eq!(find_identity(None, None).expect("none"), None);
    assert!(find_identity(Some("no-such-user-here"), None).is_err());
    let root = find_identity(Some("0"), Some("0")).expect("root").expect("root");
    assert_eq!((root.user.as_raw(), root.group.as_raw()), (0, 0));
}
