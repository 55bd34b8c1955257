//! The file store against MapProxy's names and against hostile directories.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cache::scratch::Scratch;
use crate::cache::{Dimensions, open_tile};

/// Made with MapProxy 7.0.0's `mapproxy/cache/path.py`.
const PATHS: &[(Layout, (i64, i64, u32), &str)] = &[
    (Layout::Tc, (0, 0, 0), "00/000/000/000/000/000/000.png"),
    (Layout::Tc, (3, 4, 2), "02/000/000/003/000/000/004.png"),
    (Layout::Tc, (12345678, 98765432, 22), "22/012/345/678/098/765/432.png"),
    (Layout::Tc, (1234567, 87654321, 9), "09/001/234/567/087/654/321.png"),
    (Layout::Tc, (999999, 1000000, 20), "20/000/999/999/001/000/000.png"),
    (Layout::Tc, (123456789, 4294967295, 32), "32/123/456/789/4294/967/295.png"),
    (Layout::Tc, (0, 0, 12), "12/000/000/000/000/000/000.png"),
    (Layout::Mp, (0, 0, 0), "00/0000/0000/0000/0000.png"),
    (Layout::Mp, (3, 4, 2), "02/0000/0003/0000/0004.png"),
    (Layout::Mp, (12345678, 98765432, 22), "22/1234/5678/9876/5432.png"),
    (Layout::Mp, (1234567, 87654321, 9), "09/0123/4567/8765/4321.png"),
    (Layout::Mp, (999999, 1000000, 20), "20/0099/9999/0100/0000.png"),
    (Layout::Mp, (123456789, 4294967295, 32), "32/12345/6789/429496/7295.png"),
    (Layout::Mp, (0, 0, 12), "12/0000/0000/0000/0000.png"),
    (Layout::Tms, (0, 0, 0), "0/0/0.png"),
    (Layout::Tms, (3, 4, 2), "2/3/4.png"),
    (Layout::Tms, (12345678, 98765432, 22), "22/12345678/98765432.png"),
    (Layout::Tms, (1234567, 87654321, 9), "9/1234567/87654321.png"),
    (Layout::Tms, (999999, 1000000, 20), "20/999999/1000000.png"),
    (Layout::Tms, (123456789, 4294967295, 32), "32/123456789/4294967295.png"),
    (Layout::Tms, (0, 0, 12), "12/0/0.png"),
    (Layout::ReverseTms, (0, 0, 0), "0/0/0.png"),
    (Layout::ReverseTms, (3, 4, 2), "4/3/2.png"),
    (Layout::ReverseTms, (12345678, 98765432, 22), "98765432/12345678/22.png"),
    (Layout::ReverseTms, (1234567, 87654321, 9), "87654321/1234567/9.png"),
    (Layout::ReverseTms, (999999, 1000000, 20), "1000000/999999/20.png"),
    (Layout::ReverseTms, (123456789, 4294967295, 32), "4294967295/123456789/32.png"),
    (Layout::ReverseTms, (0, 0, 12), "0/0/12.png"),
    (Layout::Quadkey, (0, 0, 0), ".png"),
    (Layout::Quadkey, (3, 4, 2), "11.png"),
    (Layout::Quadkey, (12345678, 98765432, 22), "3111220110202103223110.png"),
    (Layout::Quadkey, (1234567, 87654321, 9), "230220113.png"),
    (Layout::Quadkey, (999999, 1000000, 20), "33330300003002111111.png"),
    (Layout::Quadkey, (123456789, 4294967295, 32), "22222333232332333322332322232323.png"),
    (Layout::Quadkey, (0, 0, 12), "000000000000.png"),
    (Layout::ArcGis, (0, 0, 0), "L00/R00000000/C00000000.png"),
    (Layout::ArcGis, (3, 4, 2), "L02/R00000004/C00000003.png"),
    (Layout::ArcGis, (12345678, 98765432, 22), "L22/R05e30a78/C00bc614e.png"),
    (Layout::ArcGis, (1234567, 87654321, 9), "L09/R05397fb1/C0012d687.png"),
    (Layout::ArcGis, (999999, 1000000, 20), "L20/R000f4240/C000f423f.png"),
    (Layout::ArcGis, (123456789, 4294967295, 32), "L32/Rffffffff/C075bcd15.png"),
    (Layout::ArcGis, (0, 0, 12), "L12/R00000000/C00000000.png"),
];

fn tile(x: i64, y: i64, z: u32) -> TileAddress {
    TileAddress::from(TileCoord { x, y, z })
}

fn store_in(root: &Path) -> FileStore {
    store_with(root, |_| {})
}

fn store_with(root: &Path, change: impl Fn(&mut FileStoreOptions)) -> FileStore {
    let mut options = FileStoreOptions {
        root: root.to_owned(),
        lock_id_source: "/conf/./cache_data/c_EPSG3857".into(),
        lock_dir: root.join("tile_locks"),
        extension: "png".into(),
        ..FileStoreOptions::default()
    };
    change(&mut options);
    FileStore::new(options)
}

#[test]
fn paths_are_mapproxys() {
    for (layout, (x, y, z), path) in PATHS {
        assert_eq!(relative_path(*layout, &tile(*x, *y, *z), "png"), Path::new(path), "{layout:?}");
    }
}

#[test]
fn dimensions_go_ahead_of_the_path() {
    let values = |pairs: &[(&str, &str)]| {
        Dimensions::new(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
    };
    let part =
        values(&[("time", "2020-08-25T00:00:00Z"), ("dim_b", "1"), ("elevation", "7"), ("dim_a", "x/y")]);
    let dimensions = part.unwrap();
    assert_eq!(
        dimensions.as_ref().map(|d| d.path()),
        Some("elevation-7/time-2020-08-25T00:00:00Z/dim_a-x/y/dim_b-1")
    );
    let address = TileAddress { coord: TileCoord { x: 3, y: 4, z: 2 }, dimensions };
    assert_eq!(
        relative_path(Layout::Tms, &address, "jpeg"),
        Path::new("elevation-7/time-2020-08-25T00:00:00Z/dim_a-x/y/dim_b-1/2/3/4.jpeg")
    );
    assert_eq!(values(&[]).unwrap(), None);
    for (value, is_good) in [
        (".", true),
        ("/etc", true),
        ("//x", true),
        ("..a", true),
        ("/", true),
        ("", false),
        ("..", false),
        ("a/../b", false),
        ("a\\..\\b", false),
        ("a//b", false),
        ("a/", false),
        ("///x", false),
        ("./a", false),
        ("a\0b", false),
    ] {
        assert_eq!(values(&[("time", value)]).is_ok(), is_good, "{value:?}");
    }
}

#[test]
fn the_lock_id_is_mapproxys() {
    assert_eq!(lock_id("/conf/./cache_data/c_EPSG3857"), "9ef552307fd1acb56098a47e1c0fc332");
}

#[test]
fn what_is_stored_comes_back_with_its_time_and_identity() {
    let scratch = Scratch::new();
    let store = store_in(scratch.path());
    let at = tile(3, 4, 2);
    assert!(store.load(&at).unwrap().is_none());
    assert_eq!(store.modified(&at).unwrap(), None);
    store.store(&at, b"first", None).unwrap();
    let first = store.load(&at).unwrap().unwrap();
    assert_eq!(&*first.bytes, b"first");
    assert_eq!(store.modified(&at).unwrap(), first.modified);
    assert_eq!(store.identity(&at).unwrap(), first.identity);
    let path = store.path_of(&at).unwrap();
    let opened = open_tile(&path).unwrap().unwrap();
    assert_eq!(Some(TileIdentity::of(&opened.metadata().unwrap())), first.identity);
    store.store(&at, b"second", None).unwrap();
    let second = store.load(&at).unwrap().unwrap();
    assert_ne!(second.identity, first.identity);
    store.remove(&at).unwrap();
    store.remove(&at).unwrap();
    assert!(store.load(&at).unwrap().is_none());
    assert!(store.store(&at, b"", None).is_err());
}

#[test]
fn only_a_filled_regular_file_is_a_tile() {
    let scratch = Scratch::new();
    let store = store_in(&scratch.path().join("cache"));
    let outside = scratch.path().join("outside.png");
    fs::write(&outside, b"secret").unwrap();
    let path = store.path_of(&tile(0, 0, 0)).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let makers: [(&str, &dyn Fn()); 8] = [
        ("empty", &|| fs::write(&path, b"").unwrap()),
        ("directory", &|| fs::create_dir(&path).unwrap()),
        ("pipe", &|| nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap()),
        ("dangling link", &|| symlink("nowhere.png", &path).unwrap()),
        ("link to itself", &|| symlink(&path, &path).unwrap()),
        ("link outside", &|| symlink(&outside, &path).unwrap()),
        ("relative link outside", &|| symlink("../../../../../../../../outside.png", &path).unwrap()),
        ("link to a device", &|| symlink("/dev/zero", &path).unwrap()),
    ];
    for (name, make) in makers {
        make();
        assert!(store.load(&tile(0, 0, 0)).unwrap().is_none(), "{name}");
        assert_eq!(store.modified(&tile(0, 0, 0)).unwrap(), None, "{name}");
        assert_eq!(store.identity(&tile(0, 0, 0)).unwrap(), None, "{name}");
        assert!(open_tile(&path).unwrap().is_none(), "{name}");
        let stored = store.store(&tile(0, 0, 0), b"tile", None);
        if path.is_dir() {
            assert!(matches!(stored, Err(CacheError::Io { .. })), "{name}");
            fs::remove_dir(&path).unwrap();
        } else {
            stored.unwrap();
            assert_eq!(&*store.load(&tile(0, 0, 0)).unwrap().unwrap().bytes, b"tile", "{name}");
            assert!(!path.is_symlink(), "{name}");
            fs::remove_file(&path).unwrap();
        }
    }
    assert_eq!(fs::read(&outside).unwrap(), b"secret");
}

#[test]
fn a_huge_file_is_no_tile() {
    let scratch = Scratch::new();
    let store = store_in(scratch.path());
    store.store(&tile(0, 0, 0), b"x", None).unwrap();
    let file = fs::OpenOptions::new().write(true).open(store.path_of(&tile(0, 0, 0)).unwrap()).unwrap();
    file.write_at(b"x", TILE_BYTES_MAX).unwrap();
    assert!(store.load(&tile(0, 0, 0)).unwrap().is_none());
}

#[test]
fn a_level_on_another_disk_is_followed() {
    let scratch = Scratch::new();
    let root = scratch.path().join("cache");
    let other = scratch.path().join("bigger");
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(&other).unwrap();
    symlink(&other, root.join("07")).unwrap();
    for link in [None, Some(LinkKind::Symlink), Some(LinkKind::Hardlink)] {
        let store = store_with(&root, |options| options.link_single_color = link);
        store.store(&tile(1, 1, 7), b"tile", Some([1, 2, 3, 255])).unwrap();
        assert_eq!(&*store.load(&tile(1, 1, 7)).unwrap().unwrap().bytes, b"tile", "{link:?}");
    }
    assert!(other.join("000/000/001/000/000/001.png").symlink_metadata().is_ok());
}

#[test]
fn tiles_of_one_color_are_links_that_mapproxy_reads() {
    let scratch = Scratch::new();
    let root = scratch.path();
    let store = store_with(root, |options| options.link_single_color = Some(LinkKind::Symlink));
    store.store(&tile(3, 4, 2), b"red", Some([254, 0, 4, 255])).unwrap();
    store.store(&tile(0, 0, 0), b"clear", Some([255, 255, 255, 0])).unwrap();
    store.store(&tile(1, 1, 1), b"many", None).unwrap();
    let path = store.path_of(&tile(3, 4, 2)).unwrap();
    assert_eq!(fs::read_link(&path).unwrap(), Path::new("../../../../../../single_color_tiles/fe0004.png"));
    assert_eq!(fs::read(&path).unwrap(), b"red");
    assert_eq!(fs::read(root.join("single_color_tiles/ffffff00.png")).unwrap(), b"clear");
    assert!(open_tile(&path).unwrap().is_none());
    // The age is the link's own.
    let loaded = store.load(&tile(3, 4, 2)).unwrap().unwrap();
    assert_eq!(&*loaded.bytes, b"red");
    assert_eq!(loaded.modified, Some(fs::symlink_metadata(&path).unwrap().modified().unwrap()));
    // A picture that was cleaned away: missing, and made again with the next store.
    fs::remove_file(root.join("single_color_tiles/fe0004.png")).unwrap();
    assert!(store.load(&tile(3, 4, 2)).unwrap().is_none());
    store.store(&tile(3, 4, 2), b"red again", Some([254, 0, 4, 255])).unwrap();
    assert_eq!(&*store.load(&tile(3, 4, 2)).unwrap().unwrap().bytes, b"red again");
    // Over a link, the link goes and not the picture.
    store.store(&tile(3, 4, 2), b"colourful", None).unwrap();
    assert_eq!(fs::read(root.join("single_color_tiles/fe0004.png")).unwrap(), b"red again");
    assert_eq!(&*store.load(&tile(3, 4, 2)).unwrap().unwrap().bytes, b"colourful");
}

#[test]
fn flat_layouts_link_without_going_up() {
    let scratch = Scratch::new();
    let store = store_with(scratch.path(), |options| {
        options.link_single_color = Some(LinkKind::Symlink);
        options.layout = Layout::Quadkey;
    });
    store.store(&tile(3, 4, 3), b"red", Some([255, 0, 0, 255])).unwrap();
    let link = fs::read_link(store.path_of(&tile(3, 4, 3)).unwrap()).unwrap();
    assert_eq!(link, Path::new("single_color_tiles/ff0000.png"));
    assert_eq!(&*store.load(&tile(3, 4, 3)).unwrap().unwrap().bytes, b"red");
}

#[test]
fn hard_links_share_a_file_and_get_younger_when_stored_again() {
    let scratch = Scratch::new();
    let store = store_with(scratch.path(), |options| options.link_single_color = Some(LinkKind::Hardlink));
    let red = Some([255, 0, 0, 255]);
    store.store(&tile(0, 0, 1), b"red", red).unwrap();
    store.store(&tile(1, 0, 1), b"red", red).unwrap();
    let inode = |x| fs::metadata(store.path_of(&tile(x, 0, 1)).unwrap()).unwrap().ino();
    assert_eq!(inode(0), inode(1));
    let before = inode(1);
    store.store(&tile(0, 0, 1), b"red", red).unwrap();
    assert_ne!(inode(0), before);
    assert_eq!(inode(1), before);
    let names: Vec<_> =
        fs::read_dir(store.path_of(&tile(0, 0, 1)).unwrap().parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "a temp name was left: {names:?}");
}

#[test]
fn modes_are_those_configured_whatever_the_umask() {
    let scratch = Scratch::new();
    let store = store_with(scratch.path(), |options| {
        options.directory_mode = Some(0o2775);
        options.file_mode = Some(0o666);
        options.fsync = Fsync::Strict;
    });
    store.store(&tile(0, 0, 0), b"tile", None).unwrap();
    let path = store.path_of(&tile(0, 0, 0)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o666);
    assert_eq!(mode(path.parent().unwrap()), 0o2775);
    assert_eq!(mode(&scratch.path().join("00")), 0o2775);
    let lock = store.lock(TileCoord { x: 0, y: 0, z: 0 }, Duration::from_secs(5)).unwrap();
    assert!(!lock.has_waited());
    assert_eq!(mode(&scratch.path().join("tile_locks")), 0o2775);
    let name = "tile_locks/9ef552307fd1acb56098a47e1c0fc332-0-0-0.lck";
    assert_eq!(mode(&scratch.path().join(name)), 0o666);
}

#[test]
fn times_beyond_all_reason_are_carried() {
    let scratch = Scratch::new();
    let store = store_in(scratch.path());
    store.store(&tile(0, 0, 0), b"tile", None).unwrap();
    let file = fs::File::options().write(true).open(store.path_of(&tile(0, 0, 0)).unwrap()).unwrap();
    let epoch = SystemTime::UNIX_EPOCH;
    for time in [epoch, epoch - Duration::from_secs(86_400 * 365), epoch + Duration::from_secs(1 << 33)] {
        file.set_modified(time).unwrap();
        assert_eq!(store.modified(&tile(0, 0, 0)).unwrap(), Some(time));
        assert_eq!(store.load(&tile(0, 0, 0)).unwrap().unwrap().modified, Some(time));
    }
}

#[test]
fn a_name_too_long_is_missing_and_refused_with_its_path() {
    let scratch = Scratch::new();
    let store = store_in(scratch.path());
    let dimensions = Dimensions::new(&[("time".into(), "x".repeat(300))]).unwrap();
    let address = TileAddress { coord: TileCoord { x: 0, y: 0, z: 0 }, dimensions };
    assert!(store.load(&address).unwrap().is_none());
    assert!(store.store(&address, b"tile", None).unwrap_err().to_string().contains("time-xxx"));
}

#[test]
fn a_store_that_keeps_nothing_keeps_nothing() {
    let store = NoStore { lock_dir: "/nowhere".into(), lock_id: "id".into() };
    store.store(&tile(0, 0, 0), b"tile", None).unwrap();
    assert!(store.load(&tile(0, 0, 0)).unwrap().is_none());
    assert!(!store.keeps());
}

proptest! {
    #[test]
    fn no_dimension_value_leads_out_of_the_root(value in "[a./\\\\]{0,12}") {
        if let Ok(Some(part)) = dimension_path(&[("time".into(), value)]) {
            let path = normalize(&Path::new("/root/cache").join(&*part).join("x.png"));
            prop_assert!(path.starts_with("/root/cache/"), "{part} gives {path:?}");
        }
    }

    #[test]
    fn each_tile_has_a_path_of_its_own(
        a in (0_i64..1 << 20, 0_i64..1 << 20),
        b in (0_i64..1 << 20, 0_i64..1 << 20),
    ) {
        for layout in [Layout::Tc, Layout::Mp, Layout::Tms, Layout::ReverseTms, Layout::Quadkey, Layout::ArcGis] {
            let path = |(x, y)| relative_path(layout, &tile(x, y, 20), "png");
            prop_assert_eq!(a == b, path(a) == path(b));
        }
    }
}
