//! What a power cut leaves (reliability.md, C8): the calls with which a worker
//! stores tiles are recorded with strace and played again into a model of a
//! disk that keeps only what was pressed onto it. Of each moment two disks
//! are made: one that was quick with names and slow with data, one that was
//! slow with both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cache_faults::{FOUR, map, target, tile_path};
use crate::harness::daemon::Setup;
use crate::harness::{TestDir, Upstream, await_some, painted};

const LEVEL: u32 = 5;
const TILES: [(u32, u32); 4] = [(8, 8), (9, 8), (8, 9), (9, 9)];

/// One call that changes what lies on a disk.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Create(PathBuf),
    Write(PathBuf, usize),
    /// A file's data, a directory's names.
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    MakeDirectory(PathBuf),
}

/// Everything that the threads of a process do to a disk, in the order in
/// which it was begun.
struct Recorder {
    strace: Child,
    files: PathBuf,
}

impl Recorder {
    fn attach(dir: &Path, pid: u32) -> Recorder {
        let files = dir.join("calls");
        let told = dir.join("strace.log");
        let strace = Command::new("strace")
            .args(["-ff", "-ttt", "-y", "-s", "0", "-e"])
            .arg("trace=openat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat")
            .arg("-o")
            .arg(&files)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&told).expect("a file"))
            .spawn()
            .expect("strace runs (tests/install brings it)");
        await_some("strace to attach", || {
            std::fs::read_to_string(&told).ok().filter(|text| text.contains(" attached")).map(drop)
        });
        Recorder { strace, files }
    }

    fn end(mut self) -> Vec<Call> {
        kill(Pid::from_raw(self.strace.id() as i32), Signal::SIGINT).expect("strace is there");
        self.strace.wait().expect("strace ends");
        let directory = self.files.parent().expect("a directory");
        let mut lines: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(directory).expect("the directory").flatten() {
            if entry.file_name().to_string_lossy().starts_with("calls.") {
                let text = std::fs::read_to_string(entry.path()).expect("a record");
                lines.extend(text.lines().map(str::to_owned));
            }
        }
        // Seconds of one width, so that text sorts as time does.
        lines.sort();
        lines.iter().filter_map(|line| parse(line)).collect()
    }
}

/// One line of strace: `SECONDS call(arguments) = result`. Calls that failed
/// changed nothing.
fn parse(line: &str) -> Option<Call> {
    let (_, call) = line.split_once(' ')?;
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") = ")?;
    if result.starts_with('-') {
        return None;
    }
    let quoted: Vec<PathBuf> = arguments.split('"').skip(1).step_by(2).map(PathBuf::from).collect();
    // `23</path>`
    let of_descriptor = || {
        let (_, path) = arguments.split_once('<')?;
        Some(PathBuf::from(path.split_once('>')?.0))
    };
    match name {
        "openat" => arguments.contains("O_CREAT").then(|| Call::Create(quoted[0].clone())),
        "write" | "pwrite64" | "writev" => {
            let count = result.split_whitespace().next()?.parse().ok()?;
            Some(Call::Write(of_descriptor()?, count))
        }
        "fsync" | "fdatasync" => Some(Call::Sync(of_descriptor()?)),
        "rename" | "renameat" | "renameat2" => {
            Some(Call::Rename(quoted.first()?.clone(), quoted.get(1)?.clone()))
        }
        "mkdir" | "mkdirat" => Some(Call::MakeDirectory(quoted.first()?.clone())),
        _ => None,
    }
}

/// A file by the order of its creation.
type Inode = usize;

/// A disk and the cache before it.
#[derive(Clone, Default)]
struct Disk {
    /// Bytes written, bytes pressed onto the disk.
    sizes: Vec<(usize, usize)>,
    /// What running programs see.
    names: BTreeMap<PathBuf, Inode>,
    /// Names that are on the disk for certain, files and directories.
    kept_names: BTreeMap<PathBuf, Inode>,
    directories: BTreeSet<PathBuf>,
    kept_directories: BTreeSet<PathBuf>,
}

impl Disk {
    fn apply(&mut self, call: &Call) {
        match call {
            Call::Create(path) => {
                if !self.names.contains_key(path) {
                    self.sizes.push((0, 0));
                    self.names.insert(path.clone(), self.sizes.len() - 1);
                }
            }
            Call::Write(path, count) => {
                if let Some(inode) = self.names.get(path) {
                    self.sizes[*inode].0 += count;
                }
            }
            Call::Rename(from, to) => {
                if let Some(inode) = self.names.remove(from) {
                    self.names.insert(to.clone(), inode);
                }
            }
            Call::MakeDirectory(path) => drop(self.directories.insert(path.clone())),
            Call::Sync(path) => self.sync(path),
        }
    }

    fn sync(&mut self, path: &Path) {
        if let Some(inode) = self.names.get(path) {
            let (written, kept) = &mut self.sizes[*inode];
            *kept = *written;
            return;
        }
        let is_in = |name: &Path| name.parent() == Some(path);
        self.kept_names.retain(|name, _| !is_in(name));
        let now = self.names.iter().filter(|(name, _)| is_in(name));
        self.kept_names.extend(now.map(|(name, inode)| (name.clone(), *inode)));
        self.kept_directories.extend(self.directories.iter().filter(|name| is_in(name)).cloned());
    }

    /// Bytes of a tile (of those written) where names were quick and data was slow;
    /// `None` where the name is not there.
    fn hasty(&self, tile: &Path) -> Option<(usize, usize)> {
        let (written, kept) = self.sizes[*self.names.get(tile)?];
        Some((kept, written))
    }

    /// The same where names were as slow as they may be.
    fn slow(&self, tile: &Path) -> Option<(usize, usize)> {
        let made = |above: &Path| !self.directories.contains(above) || self.kept_directories.contains(above);
        if !tile.ancestors().skip(1).all(made) {
            return None;
        }
        let (written, kept) = self.sizes[*self.kept_names.get(tile)?];
        Some((kept, written))
    }
}

/// Stores a meta tile of four under a policy: the disk after each call.
fn store(policy: &str) -> (Vec<Disk>, Vec<PathBuf>) {
    let dir = TestDir::new("power-cut");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), FOUR))
        .workers(1)
        .daemon_yaml(&format!("fsync: {policy}\n"))
        .start();
    let recorder = Recorder::attach(dir.path(), daemon.workers()[0]);
    let reply = daemon.get(&target(LEVEL, 8, 8));
    painted::check(&reply.body, LEVEL, 8, 8).expect("the tile asked for");
    let calls = recorder.end();
    daemon.stop();
    let mut disks = vec![Disk::default()];
    for call in &calls {
        let mut next = disks[disks.len() - 1].clone();
        next.apply(call);
        disks.push(next);
    }
    let tiles: Vec<PathBuf> =
        TILES.iter().map(|(column, row)| tile_path(dir.path(), LEVEL, *column, *row)).collect();
    for tile in &tiles {
        let bytes = std::fs::metadata(tile).expect("a tile").len() as usize;
        let told = disks[disks.len() - 1].hasty(tile).expect("the record tells of each tile");
        assert_eq!(told.1, bytes, "the record holds every write");
    }
    (disks, tiles)
}

fn is_torn(bytes: Option<(usize, usize)>) -> bool {
    bytes.is_some_and(|(kept, written)| kept < written)
}

#[test]
fn c8_without_fsync_a_power_cut_may_leave_empty_tiles_which_are_misses() {
    let (disks, tiles) = store("none");
    let last = &disks[disks.len() - 1];
    assert!(tiles.iter().any(|tile| is_torn(last.hasty(tile))), "the model shows what no fsync may cost");
    // Such a disk, with a daemon on it.
    let dir = TestDir::new("power-cut-after");
    for (column, row) in TILES {
        let tile = tile_path(dir.path(), LEVEL, column, row);
        std::fs::create_dir_all(tile.parent().expect("a directory")).expect("directories");
        std::fs::write(&tile, b"").expect("an empty tile");
    }
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), FOUR)).start();
    for (column, row) in TILES {
        let reply = daemon.get(&target(LEVEL, column, row));
        painted::check(&reply.body, LEVEL, column, row).expect("the tile asked for");
    }
    assert_eq!(upstream.count(), 1);
    daemon.stop();
}

#[test]
fn c8_with_fsync_of_tiles_a_power_cut_leaves_whole_tiles_or_none() {
    for policy in ["tile", "strict"] {
        let (disks, tiles) = store(policy);
        for (at, disk) in disks.iter().enumerate() {
            for tile in &tiles {
                assert!(!is_torn(disk.hasty(tile)), "{policy}: {} after call {at}", tile.display());
                assert!(!is_torn(disk.slow(tile)), "{policy}: {} after call {at}", tile.display());
            }
        }
        let last = &disks[disks.len() - 1];
        let stays = tiles.iter().filter(|tile| last.slow(tile).is_some()).count();
        assert_eq!(
            stays,
            if policy == "strict" { TILES.len() } else { 0 },
            "{policy}: tiles that stay for certain"
        );
    }
}
