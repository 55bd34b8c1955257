use std::fs;
use std::sync::Barrier;

use super::*;
use crate::cache::scratch::Scratch;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn readers_see_the_old_or_the_new_never_a_part() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a/b/tile.png");
    let tiles: Vec<Vec<u8>> = (0..4_u8).map(|i| vec![i; 200_000 + usize::from(i)]).collect();
    write_atomic(&path, &tiles[0], &WriteOptions::default()).unwrap();
    let start = Barrier::new(tiles.len() + 1);
    std::thread::scope(|scope| {
        for tile in &tiles {
            scope.spawn(|| {
                start.wait();
                for _ in 0..20 {
                    write_atomic(&path, tile, &WriteOptions::default()).unwrap();
                }
            });
        }
        start.wait();
        for _ in 0..200 {
            let seen = fs::read(&path).unwrap();
            assert!(tiles.contains(&seen), "{} bytes of {:?}", seen.len(), seen.first());
        }
    });
    assert_eq!(names(path.parent().unwrap()), ["tile.png"]);
}

#[test]
fn many_first_writers_of_one_new_tree_do_no_harm() {
    let scratch = Scratch::new();
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (scratch, start) = (&scratch, &start);
            scope.spawn(move || {
                start.wait();
                let path = scratch.path().join(format!("x/y/z/{i}.png"));
                write_atomic(
                    &path,
                    b"tile",
                    &WriteOptions { directory_mode: Some(0o755), ..WriteOptions::default() },
                )
                .unwrap();
            });
        }
    });
    assert_eq!(names(&scratch.path().join("x/y/z")).len(), 8);
}

#[test]
fn a_directory_cleaned_away_again_and_again_costs_no_tile() {
    let scratch = Scratch::new();
    let path = scratch.path().join("level/tile.png");
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let _ = fs::remove_dir_all(scratch.path().join("level"));
            }
        });
        let stored =
            (0..200).filter(|_| write_atomic(&path, b"tile", &WriteOptions::default()).is_ok()).count();
        is_done.store(true, Ordering::Relaxed);
        // Losing every one of eight attempts to the cleaner is possible, being wrong is not.
        assert!(stored > 0);
    });
}

#[test]
fn failures_name_the_path_and_leave_nothing_behind() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, b"x").unwrap();
    let error = write_atomic(&file.join("tile.png"), b"tile", &WriteOptions::default()).unwrap_err();
    assert!(matches!(error, CacheError::Io { .. }) && error.to_string().contains("tile.png"), "{error}");
    let directory = scratch.path().join("tile.png");
    fs::create_dir(&directory).unwrap();
    write_atomic(&directory, b"tile", &WriteOptions::default()).unwrap_err();
    // Fails half way: the temp name goes too.
    let failed = replace(&scratch.path().join("other.png"), &WriteOptions::default(), |temp| {
        fs::write(temp, b"half")?;
        Err(io::Error::from_raw_os_error(libc::ENOSPC))
    });
    let Err(CacheError::Io { error, .. }) = failed else { panic!("{failed:?}") };
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(names(scratch.path()), ["file", "tile.png"]);
}

#[test]
fn temp_names_tell_their_owner() {
    let name = temp_name(OsStr::new("004.png"));
    let pid = i32::try_from(std::process::id()).unwrap();
    assert_eq!(temp_owner(&name), Some(pid));
    assert!(name.to_str().unwrap().starts_with(".004.png."));
    let long = temp_name(OsStr::new(&"x".repeat(255)));
    assert_eq!(long.len(), NAME_BYTES_MAX);
    assert_eq!(temp_owner(&long), Some(pid));
    for foreign in
        ["004.png", ".004.png.tmp", ".a.b.c.tmp", "004.png.tmp-123", ".x.-5.1.tmp", ".x.0.1.tmp", ".tmp"]
    {
        assert_eq!(temp_owner(OsStr::new(foreign)), None, "{foreign}");
    }
}

#[test]
fn leavings_of_dead_writers_are_swept_those_of_the_living_not() {
    let scratch = Scratch::new();
    // A process that certainly is no more.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let own = std::process::id();
    for name in
        [format!(".a.png.{dead}.1.tmp"), format!(".a.png.{own}.1.tmp"), "a.png".into(), "a.png.tmp-1".into()]
    {
        fs::write(scratch.path().join(name), b"x").unwrap();
    }
    sweep_temps(scratch.path(), SystemTime::now());
    assert_eq!(names(scratch.path()).len(), 4, "too young");
    sweep_temps(scratch.path(), SystemTime::now() - TEMP_AGE_MIN * 100);
    assert_eq!(names(scratch.path()).len(), 4, "from the future");
    sweep_temps(scratch.path(), SystemTime::now() + TEMP_AGE_MIN * 2);
    assert_eq!(names(scratch.path()), [format!(".a.png.{own}.1.tmp"), "a.png".into(), "a.png.tmp-1".into()]);
    sweep_temps(&scratch.path().join("nowhere"), SystemTime::now());
}
