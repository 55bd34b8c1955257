use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;
use crate::cache::scratch::Scratch;

const LONG: Duration = Duration::from_secs(60);
const MAIN: TileCoord = TileCoord { x: 4, y: 8, z: 5 };

fn file_of(dir: &Path) -> PathBuf {
    dir.join("id-4-8-5.lck")
}

/// Another process's lock, as the kernel sees it: a descriptor of its own.
fn hold(path: &Path) -> Flock<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap()
}

#[test]
fn the_file_has_mapproxys_name_and_goes_with_the_lock() {
    let scratch = Scratch::new();
    let dir = scratch.path().join("new/locks");
    let Locked::AtOnce(lock) = lock_tile(&dir, "id", MAIN, LONG).unwrap() else {
        panic!("nobody else had it")
    };
    assert_eq!(lock.path(), file_of(&dir));
    assert_eq!(fs::read_to_string(lock.path()).unwrap(), format!(" {}\n", std::process::id()));
    drop(lock);
    assert!(!file_of(&dir).exists());
    assert!(places().keys().all(|key| !key.starts_with(scratch.path())));
}

#[test]
fn threads_of_a_process_take_turns() {
    let scratch = Scratch::new();
    let inside = Arc::new(AtomicUsize::new(0));
    let (told, tells) = mpsc::channel();
    let first = lock_tile(scratch.path(), "id", MAIN, LONG).unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (dir, inside, told) = (scratch.path().to_owned(), Arc::clone(&inside), told.clone());
            std::thread::spawn(move || {
                told.send(()).unwrap();
                let lock = lock_tile(&dir, "id", MAIN, LONG).unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                std::thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
                lock.has_waited()
            })
        })
        .collect();
    for _ in 0..8 {
        tells.recv().unwrap();
    }
    // All wait or are about to; another key is free all the while.
    assert!(!lock_tile(scratch.path(), "other", MAIN, LONG).unwrap().has_waited());
    drop(first);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(places().keys().all(|key| !key.starts_with(scratch.path())));
}

#[test]
fn another_processs_lock_is_waited_for() {
    let scratch = Scratch::new();
    let path = file_of(scratch.path());
    let theirs = hold(&path);
    let dir = scratch.path().to_owned();
    let ours = std::thread::spawn(move || lock_tile(&dir, "id", MAIN, LONG).unwrap().has_waited());
    // Our thread has its place in the queue, so it polls; then MapProxy's way to unlock.
    while !places().contains_key(&path) {
        std::thread::yield_now();
    }
    fs::remove_file(&path).unwrap();
    drop(theirs);
    ours.join().unwrap();
    assert!(!path.exists());
}

#[test]
fn waiting_ends_with_the_timeout() {
    let scratch = Scratch::new();
    let theirs = hold(&file_of(scratch.path()));
    let error = lock_tile(scratch.path(), "id", MAIN, Duration::from_millis(25)).unwrap_err();
    assert!(matches!(error, CacheError::LockTimeout { waited_ms: 25.., .. }), "{error}");
    drop(theirs);
    let _ours = lock_tile(scratch.path(), "id", MAIN, Duration::ZERO).unwrap();
    let error = lock_tile(scratch.path(), "id", MAIN, Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, CacheError::LockTimeout { .. }), "{error}");
    assert_eq!(places()[&file_of(scratch.path())].waiting, 0);
}

#[test]
fn a_lock_whose_name_was_taken_from_it_harms_nobody() {
    let scratch = Scratch::new();
    let path = file_of(scratch.path());
    let ours = lock_tile(scratch.path(), "id", MAIN, LONG).unwrap();
    // MapProxy's sweep removes it, its next locker makes it anew.
    fs::remove_file(&path).unwrap();
    let theirs = hold(&path);
    drop(ours);
    assert!(path.exists(), "we removed another's lock file");
    drop(theirs);
    // A file that lost its name between open and lock is not the lock.
    let open = open_lock(&path, LockModes::default()).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(!is_still_named(&open, &path));
}

#[test]
fn sweeping_removes_the_old_and_free_only() {
    let scratch = Scratch::new();
    let dir = scratch.path();
    let old = SystemTime::now() - Duration::from_secs(1000);
    for name in ["old.lck", "held.lck", "other.lck0", "young.lck"] {
        let file = File::create(dir.join(name)).unwrap();
        if name != "young.lck" {
            file.set_modified(old).unwrap();
        }
    }
    fs::create_dir(dir.join("dir.lck")).unwrap();
    std::os::unix::fs::symlink("old.lck", dir.join("link.lck")).unwrap();
    let file = File::options().write(true).open(dir.join("held.lck")).unwrap();
    let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    sweep(dir, SystemTime::now(), Duration::from_secs(70));
    assert!(!dir.join("old.lck").exists());
    for name in ["held.lck", "other.lck0", "young.lck", "dir.lck"] {
        assert!(dir.join(name).exists(), "{name}");
    }
    drop(held);
    sweep(&dir.join("nowhere"), SystemTime::now(), Duration::ZERO);
}

#[test]
fn a_lock_directory_that_cannot_be_is_named() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, b"x").unwrap();
    let error = lock_tile(&file, "id", MAIN, LONG).unwrap_err();
    assert!(matches!(error, CacheError::Io { .. }) && error.to_string().contains("file"), "{error}");
    // A link planted where the lock should be is not followed.
    std::os::unix::fs::symlink(&file, file_of(scratch.path())).unwrap();
    assert!(lock_tile(scratch.path(), "id", MAIN, LONG).is_err());
    assert_eq!(fs::read(&file).unwrap(), b"x");
}
