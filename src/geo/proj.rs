//! libproj opened at run time, one context per thread.
//!
//! A dozen functions behind a small safe face: [`describe`] a system,
//! [`transform`] positions. Where no libproj of version 8.2 or newer is found,
//! the systems of [`super::builtin`] serve instead. Never used in the master:
//! before PROJ 9.4 a fork could leave PROJ's database lock held in the child.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_double, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use super::builtin;
use super::extent::Extent;
use super::srs::{METERS_PER_DEGREE, Traits};

/// The file to open as libproj; `none` asks for the built-in systems.
pub const LIBRARY_VARIABLE: &str = "RHUMB_LIBPROJ";

/// Most transformations a thread keeps ready. Building one costs milliseconds;
/// clients choose the systems, so the least recently used one makes room.
const TRANSFORMERS_PER_THREAD_MAX: usize = 64;

/// The oldest release whose choice among datum shifts is as pyproj's.
const VERSION_MIN: (c_int, c_int) = (8, 2);

#[cfg(target_os = "macos")]
const FILE_NAMES: &[&str] = &["libproj.dylib", "libproj.25.dylib", "/opt/homebrew/lib/libproj.dylib"];
#[cfg(not(target_os = "macos"))]
const FILE_NAMES: &[&str] =
    &["libproj.so.25", "libproj.so.26", "libproj.so.27", "libproj.so.22", "libproj.so"];

// PJ_CATEGORY, PJ_TYPE, PJ_DIRECTION and PJ_LOG_LEVEL of proj.h, stable since 6.0.
const CATEGORY_CRS: c_int = 3;
const TYPE_GEOGRAPHIC_2D: c_int = 12;
const TYPE_GEOGRAPHIC_3D: c_int = 13;
const TYPE_PROJECTED: c_int = 15;
const TYPE_COMPOUND: c_int = 16;
const DIRECTION_FORWARD: c_int = 1;
const LOG_NONE: c_int = 0;

/// A `PJ_CONTEXT`.
type Context = *mut c_void;
/// A `PJ`: a system or a transformation.
type Object = *mut c_void;

/// `PJ_INFO` of proj.h.
#[repr(C)]
struct Info {
    major: c_int,
    minor: c_int,
    patch: c_int,
    release: *const c_char,
    version: *const c_char,
    search_path: *const c_char,
    paths: *const *const c_char,
    path_count: usize,
}

/// Declares the table of functions and how it is filled: the names are those
/// of proj.h, the types are given here.
macro_rules! functions {
    ($($(#[$when:meta])? $name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        #[allow(non_snake_case)]
        struct Functions { $($(#[$when])? $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)* }

        impl Functions {
            fn load(handle: *mut c_void) -> Result<Functions, String> {
                Ok(Functions {
                    $($(#[$when])? $name: {
                        let symbol = concat!(stringify!($name), "\0");
                        // SAFETY: `handle` came from dlopen and is never closed; the name ends in a zero byte.
                        let address = unsafe { libc::dlsym(handle, symbol.as_ptr().cast()) };
                        if address.is_null() {
                            return Err(concat!("it lacks ", stringify!($name)).to_string());
                        }
                        // SAFETY: the symbol is the C function of this name, whose documented
                        // signature is the field's type.
                        unsafe {
                            std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($arg),*) $(-> $ret)?>(address)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    proj_info: fn() -> Info;
    proj_context_create: fn() -> Context;
    proj_context_destroy: fn(Context) -> Context;
    proj_context_set_search_paths: fn(Context, c_int, *const *const c_char);
    proj_context_set_enable_network: fn(Context, c_int) -> c_int;
    proj_context_get_database_path: fn(Context) -> *const c_char;
    proj_context_get_database_metadata: fn(Context, *const c_char) -> *const c_char;
    proj_log_level: fn(Context, c_int) -> c_int;
    proj_destroy: fn(Object) -> Object;
    proj_create_from_database: fn(Context, *const c_char, *const c_char, c_int, c_int, *const *const c_char) -> Object;
    proj_get_type: fn(Object) -> c_int;
    proj_crs_get_sub_crs: fn(Context, Object, c_int) -> Object;
    proj_crs_get_geodetic_crs: fn(Context, Object) -> Object;
    proj_get_id_auth_name: fn(Object, c_int) -> *const c_char;
    proj_get_id_code: fn(Object, c_int) -> *const c_char;
    proj_get_ellipsoid: fn(Context, Object) -> Object;
    proj_ellipsoid_get_parameters: fn(Context, Object, *mut c_double, *mut c_double, *mut c_int, *mut c_double) -> c_int;
    proj_crs_get_coordinate_system: fn(Context, Object) -> Object;
    proj_cs_get_axis_info: fn(Context, Object, c_int, *mut *const c_char, *mut *const c_char, *mut *const c_char, *mut c_double, *mut *const c_char, *mut *const c_char, *mut *const c_char) -> c_int;
    proj_get_area_of_use: fn(Context, Object, *mut c_double, *mut c_double, *mut c_double, *mut c_double, *mut *const c_char) -> c_int;
    proj_create_crs_to_crs_from_pj: fn(Context, Object, Object, Object, *const *const c_char) -> Object;
    proj_normalize_for_visualization: fn(Context, Object) -> Object;
    proj_trans_generic: fn(Object, c_int, *mut c_double, usize, usize, *mut c_double, usize, usize, *mut c_double, usize, usize, *mut c_double, usize, usize) -> usize;
    #[cfg(test)] proj_get_codes_from_database: fn(Context, *const c_char, c_int, c_int) -> *mut *mut c_char;
    #[cfg(test)] proj_string_list_destroy: fn(*mut *mut c_char);
    #[cfg(test)] proj_create_crs_to_crs: fn(Context, *const c_char, *const c_char, Object) -> Object;
}

/// The library, opened once and never closed.
struct Library {
    functions: Functions,
    /// For people: version and data.
    name: String,
}

static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
static DATA_DIR: OnceLock<CString> = OnceLock::new();

/// Why PROJ's data directory cannot be set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataDirError {
    #[error("the path of PROJ's data holds a zero byte")]
    Path,
    #[error("PROJ's data directory must be set once and before the first coordinate system is used")]
    Late,
}

/// Sets where PROJ finds its database and grids (`globals.srs.proj_data_dir`),
/// for the whole process; must come before the first coordinate system is used.
pub fn set_data_dir(dir: &Path) -> Result<(), DataDirError> {
    use std::os::unix::ffi::OsStrExt;
    let dir = CString::new(dir.as_os_str().as_bytes()).map_err(|_| DataDirError::Path)?;
    if DATA_DIR.get() == Some(&dir) {
        return Ok(());
    }
    if LIBRARY.get().is_some() {
        return Err(DataDirError::Late);
    }
    DATA_DIR.set(dir).map_err(|_| DataDirError::Late)
}

/// Name, version and data path of the projection engine in use, for the log
/// and the status page, for example `PROJ 9.1.1, /usr/share/proj, EPSG v10.076`.
pub fn engine() -> String {
    match library() {
        Ok(library) => library.name.clone(),
        Err(reason) => format!("built-in systems only ({reason})"),
    }
}

fn library() -> Result<&'static Library, &'static str> {
    LIBRARY.get_or_init(open).as_ref().map_err(String::as_str)
}

/// Maps libproj and all that it links to, for the processes that this one will
/// fork: relocating some forty libraries anew took most of the time of a
/// probe and of a worker's start. Makes no object of PROJ, opens no database
/// and tells nothing where there is none: that is the first user's.
pub fn map_library() {
    let asked = std::env::var(LIBRARY_VARIABLE).ok().filter(|name| !name.is_empty());
    let names = match asked.as_deref() {
        Some("none") => return,
        Some(name) => vec![name],
        None => FILE_NAMES.to_vec(),
    };
    // Kept: opening it again in a child finds it mapped.
    let _ = names.into_iter().find_map(open_library);
}

fn open_library(name: &str) -> Option<ptr::NonNull<c_void>> {
    let path = CString::new(name).ok()?;
    // SAFETY: a path that ends in a zero byte; libproj's initialisers ask nothing of us.
    ptr::NonNull::new(unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) })
}

fn open() -> Result<Library, String> {
    let asked = std::env::var(LIBRARY_VARIABLE).ok().filter(|name| !name.is_empty());
    let names: Vec<&str> = match asked.as_deref() {
        Some("none") => return Err(format!("{LIBRARY_VARIABLE} is \"none\"")),
        Some(name) => vec![name],
        None => FILE_NAMES.to_vec(),
    };
    let mut reason =
        format!("no libproj found; install libproj {}.{} or newer", VERSION_MIN.0, VERSION_MIN.1);
    for name in names {
        let Some(handle) = open_library(name) else { continue };
        match Functions::load(handle.as_ptr()).and_then(check) {
            Ok(library) => return Ok(library),
            Err(why) => reason = format!("{name} is of no use: {why}"),
        }
    }
    Err(reason)
}

/// Whether the library is new enough and finds its database; its name.
fn check(functions: Functions) -> Result<Library, String> {
    // SAFETY: takes nothing, returns a plain structure.
    let info = unsafe { (functions.proj_info)() };
    let (major, minor) = (info.major, info.minor);
    if (major, minor) < VERSION_MIN {
        return Err(format!("version {major}.{minor} is older than {}.{}", VERSION_MIN.0, VERSION_MIN.1));
    }
    let mut library = Library { functions, name: format!("PROJ {major}.{minor}.{}", info.patch) };
    let context = OwnedContext::new(&library.functions)?;
    if context.crs("EPSG", "4326").is_none() {
        return Err("it does not find its database (proj.db); set globals.srs.proj_data_dir".into());
    }
    // SAFETY: a live context; PROJ returns null or a string that lives as long as the context.
    let path = unsafe { text((library.functions.proj_context_get_database_path)(context.raw)) };
    // SAFETY: as before, and the key ends in a zero byte.
    let epsg = unsafe {
        text((library.functions.proj_context_get_database_metadata)(context.raw, c"EPSG.VERSION".as_ptr()))
    };
    context.leave();
    if let Some(dir) = path.as_deref().and_then(|p| Path::new(p).parent()) {
        library.name += &format!(", {}", dir.display());
    }
    if let Some(epsg) = epsg {
        library.name += &format!(", EPSG {epsg}");
    }
    Ok(library)
}

/// Copies a C string; `None` for null.
///
/// # Safety
/// `raw` is null or points at bytes that end in a zero byte and live for the call.
unsafe fn text(raw: *const c_char) -> Option<String> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned())
}

/// A context that is destroyed with its owner. Not `Send`: it and what is made
/// from it stay on the thread.
struct OwnedContext<'a> {
    functions: &'a Functions,
    raw: Context,
}

/// A system or a transformation that is destroyed with its owner.
struct OwnedObject<'a> {
    functions: &'a Functions,
    /// Not null.
    raw: Object,
}

impl Drop for OwnedObject<'_> {
    fn drop(&mut self) {
        // SAFETY: made by PROJ, owned here alone, destroyed once.
        unsafe { (self.functions.proj_destroy)(self.raw) };
    }
}

impl Drop for OwnedContext<'_> {
    fn drop(&mut self) {
        // SAFETY: made by PROJ, owned here alone; objects made from it are declared before it
        // wherever they share an owner, and so are gone.
        unsafe { (self.functions.proj_context_destroy)(self.raw) };
    }
}

thread_local! {
    /// The context with which the library was checked: its database is open
    /// and read, which is most of the work, so its thread goes on with it.
    static CHECKED: Cell<Context> = const { Cell::new(ptr::null_mut()) };
}

impl<'a> OwnedContext<'a> {
    /// The thread's checked context, if that is still there, or a new one.
    fn take(functions: &'a Functions) -> Result<Self, String> {
        let raw = CHECKED.replace(ptr::null_mut());
        if raw.is_null() { Self::new(functions) } else { Ok(Self { functions, raw }) }
    }

    /// Leaves the context to [`OwnedContext::take`] of the same thread.
    fn leave(self) {
        CHECKED.set(std::mem::ManuallyDrop::new(self).raw);
    }

    fn new(functions: &'a Functions) -> Result<Self, String> {
        // SAFETY: takes nothing; null on failure.
        let raw = unsafe { (functions.proj_context_create)() };
        if raw.is_null() {
            return Err("no context could be made".into());
        }
        // SAFETY: a live context, plain numbers. Without logging PROJ writes nothing to stderr;
        // without network a transformation never waits for a server.
        unsafe {
            (functions.proj_log_level)(raw, LOG_NONE);
            (functions.proj_context_set_enable_network)(raw, 0);
        }
        if let Some(dir) = DATA_DIR.get() {
            let paths = [dir.as_ptr()];
            // SAFETY: one path, which PROJ copies.
            unsafe { (functions.proj_context_set_search_paths)(raw, 1, paths.as_ptr()) };
        }
        Ok(Self { functions, raw })
    }

    fn own(&self, raw: Object) -> Option<OwnedObject<'a>> {
        (!raw.is_null()).then_some(OwnedObject { functions: self.functions, raw })
    }

    /// A system from the database, of a compound one the horizontal part.
    fn crs(&self, authority: &str, code: &str) -> Option<OwnedObject<'a>> {
        let (authority, code) = (CString::new(authority).ok()?, CString::new(code).ok()?);
        // SAFETY: a live context, strings that end in a zero byte, no options.
        let raw = unsafe {
            (self.functions.proj_create_from_database)(
                self.raw,
                authority.as_ptr(),
                code.as_ptr(),
                CATEGORY_CRS,
                0,
                ptr::null(),
            )
        };
        let object = self.own(raw)?;
        if self.kind(&object) != TYPE_COMPOUND {
            return Some(object);
        }
        // SAFETY: live context and object; null where there is no such part.
        self.own(unsafe { (self.functions.proj_crs_get_sub_crs)(self.raw, object.raw, 0) })
    }

    fn kind(&self, object: &OwnedObject) -> c_int {
        // SAFETY: a live object.
        unsafe { (self.functions.proj_get_type)(object.raw) }
    }

    /// Direction and factor to the base unit of a system's first axis.
    fn first_axis(&self, crs: &OwnedObject) -> Option<(String, f64)> {
        // SAFETY: live context and object; null where it has no axes.
        let axes = self.own(unsafe { (self.functions.proj_crs_get_coordinate_system)(self.raw, crs.raw) })?;
        let mut direction: *const c_char = ptr::null();
        let mut factor = 0.0;
        let skip = ptr::null_mut();
        // SAFETY: live context and object; null is allowed for what is not wanted; the string
        // written to `direction` lives as long as `axes`.
        let direction = unsafe {
            let found = (self.functions.proj_cs_get_axis_info)(
                self.raw,
                axes.raw,
                0,
                skip,
                skip,
                &mut direction,
                &mut factor,
                skip,
                skip,
                skip,
            );
            if found == 0 { None } else { text(direction) }
        };
        Some((direction?, factor))
    }

    fn area_of_use(&self, crs: &OwnedObject) -> Option<Extent> {
        let (mut west, mut south, mut east, mut north) = (0.0, 0.0, 0.0, 0.0);
        // SAFETY: live context and object, four places to write to, no name wanted.
        let found = unsafe {
            (self.functions.proj_get_area_of_use)(
                self.raw,
                crs.raw,
                &mut west,
                &mut south,
                &mut east,
                &mut north,
                ptr::null_mut(),
            )
        };
        // -1000 stands for "unknown".
        if found == 0 || [west, south, east, north].iter().any(|v| *v <= -1000.0) {
            return None;
        }
        let east = if east < west { east + 360.0 } else { east };
        Some(Extent::new(west, south, east, north))
    }

    /// `AUTHORITY:CODE` of the geographic system below a system, itself where it is one.
    fn geographic(&self, crs: &OwnedObject) -> Option<String> {
        // SAFETY: live context and object; a new object or null.
        let base = self.own(unsafe { (self.functions.proj_crs_get_geodetic_crs)(self.raw, crs.raw) })?;
        // SAFETY: a live object; the strings live as long as it and are copied here.
        let (authority, code) = unsafe {
            (
                text((self.functions.proj_get_id_auth_name)(base.raw, 0)),
                text((self.functions.proj_get_id_code)(base.raw, 0)),
            )
        };
        Some(format!("{}:{}", authority?, code?))
    }

    /// The longer half axis of a system's ellipsoid, metres.
    fn semi_major_m(&self, crs: &OwnedObject) -> Option<f64> {
        // SAFETY: live context and object; a new object or null.
        let ellipsoid = self.own(unsafe { (self.functions.proj_get_ellipsoid)(self.raw, crs.raw) })?;
        let mut axis_m = 0.0;
        // SAFETY: live context and object, one place to write to; null is allowed for what is not wanted.
        let found = unsafe {
            (self.functions.proj_ellipsoid_get_parameters)(
                self.raw,
                ellipsoid.raw,
                &mut axis_m,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        (found != 0 && axis_m > 0.0).then_some(axis_m)
    }

    /// The transformation between two systems, x before y on both sides.
    fn transformation(&self, source: &str, target: &str) -> Option<OwnedObject<'a>> {
        let part = |key: &str| key.rsplit_once(':').and_then(|(a, c)| self.crs(a, c));
        let (source, target) = (part(source)?, part(target)?);
        // SAFETY: live context and objects, no area, no options; null on failure.
        let plain = self.own(unsafe {
            (self.functions.proj_create_crs_to_crs_from_pj)(
                self.raw,
                source.raw,
                target.raw,
                ptr::null_mut(),
                ptr::null(),
            )
        })?;
        // SAFETY: live context and object; a new object or null.
        self.own(unsafe { (self.functions.proj_normalize_for_visualization)(self.raw, plain.raw) })
    }
}

/// A transformation kept ready, or the knowledge that there is none.
struct Transformer {
    source: String,
    target: String,
    object: Option<OwnedObject<'static>>,
}

/// What a thread keeps. Fields fall in order: transformers before their context.
struct Engine {
    /// Most recently used first.
    transformers: Vec<Transformer>,
    context: OwnedContext<'static>,
}

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Runs `work` with the thread's own context; `Err` where there is no libproj.
fn with_engine<T>(work: impl FnOnce(&mut Engine) -> T) -> Result<T, &'static str> {
    let library = library()?;
    ENGINE.with_borrow_mut(|slot| {
        if slot.is_none() {
            let context = OwnedContext::take(&library.functions).map_err(|_| "PROJ has no memory left")?;
            *slot = Some(Engine { transformers: Vec::new(), context });
        }
        slot.as_mut().map(work).ok_or("no context")
    })
}

/// What a system is like, or why it cannot be used.
pub(super) fn describe(authority: &str, code: &str) -> Result<Traits, String> {
    match with_engine(|engine| describe_with(&engine.context, authority, code)) {
        Ok(answer) => answer,
        Err(reason) => builtin::describe(&format!("{authority}:{code}"), reason),
    }
}

fn describe_with(context: &OwnedContext, authority: &str, code: &str) -> Result<Traits, String> {
    let crs = context.crs(authority, code).ok_or("PROJ's database does not have it")?;
    let geographic = match context.kind(&crs) {
        TYPE_GEOGRAPHIC_2D | TYPE_GEOGRAPHIC_3D => true,
        TYPE_PROJECTED => false,
        _ => return Err("it is neither a geographic nor a projected system".into()),
    };
    let (direction, factor) = context.first_axis(&crs).ok_or("its axes are unknown")?;
    Ok(Traits {
        geographic,
        north_first: direction == "north",
        meters_per_unit: if geographic { METERS_PER_DEGREE * factor.to_degrees() } else { factor },
        area_of_use: context.area_of_use(&crs),
    })
}

/// The geographic system below `AUTHORITY:CODE` and the longer half axis of its
/// ellipsoid in metres; `None` where PROJ is not there or does not know.
pub(super) fn body(authority: &str, code: &str) -> Option<(String, f64)> {
    with_engine(|engine| {
        let crs = engine.context.crs(authority, code)?;
        Some((engine.context.geographic(&crs)?, engine.context.semi_major_m(&crs)?))
    })
    .ok()
    .flatten()
}

/// Carries positions between two systems given as `AUTHORITY:CODE`, in place;
/// x before y. One call into PROJ for all. No image becomes infinite.
pub(super) fn transform(source: &str, target: &str, points: &mut [[f64; 2]]) {
    let done = with_engine(|engine| engine.transform(source, target, points));
    if done.is_err() {
        builtin::transform(source, target, points);
    }
}

impl Engine {
    fn transform(&mut self, source: &str, target: &str, points: &mut [[f64; 2]]) {
        let Some(object) = self.transformer(source, target) else {
            points.fill([f64::INFINITY; 2]);
            return;
        };
        const STRIDE: usize = size_of::<[f64; 2]>();
        let (x, count) = (points.as_mut_ptr().cast::<c_double>(), points.len());
        // SAFETY: `x` is the start of `count` pairs that we hold alone; x and y lie at offset 0
        // and 8 of each pair, STRIDE apart, so PROJ stays inside. y is derived from the same
        // pointer by an offset within the first pair, and not read where `count` is 0. No z, no t.
        unsafe {
            let y = if count == 0 { x } else { x.add(1) };
            let none = ptr::null_mut();
            (object.functions.proj_trans_generic)(
                object.raw,
                DIRECTION_FORWARD,
                x,
                STRIDE,
                count,
                y,
                STRIDE,
                count,
                none,
                0,
                0,
                none,
                0,
                0,
            );
        }
        for point in points {
            if !(point[0].is_finite() && point[1].is_finite()) {
                *point = [f64::INFINITY; 2];
            }
        }
    }

    fn transformer(&mut self, source: &str, target: &str) -> Option<&OwnedObject<'static>> {
        match self.transformers.iter().position(|t| t.source == source && t.target == target) {
            Some(at) => self.transformers[..=at].rotate_right(1),
            None => {
                self.transformers.truncate(TRANSFORMERS_PER_THREAD_MAX - 1);
                let object = self.context.transformation(source, target);
                let (source, target) = (source.to_string(), target.to_string());
                self.transformers.insert(0, Transformer { source, target, object });
            }
        }
        self.transformers.first().and_then(|t| t.object.as_ref())
    }
}

/// The codes of an authority that PROJ's database holds, for tests.
#[cfg(test)]
pub(super) fn codes(authority: &CStr) -> Option<Vec<String>> {
    let functions = &library().ok()?.functions;
    let context = OwnedContext::new(functions).ok()?;
    let mut codes = Vec::new();
    for kind in [TYPE_PROJECTED, TYPE_GEOGRAPHIC_2D] {
        // SAFETY: a live context; returns null or a list that ends in null, which is read here
        // and freed once.
        unsafe {
            let list = (functions.proj_get_codes_from_database)(context.raw, authority.as_ptr(), kind, 0);
            if list.is_null() {
                continue;
            }
            let mut entry = list;
            while let Some(code) = text(*entry) {
                codes.push(code);
                entry = entry.add(1);
            }
            (functions.proj_string_list_destroy)(list);
        }
    }
    codes.sort();
    Some(codes)
}

/// The same as [`transform`] by another way, for tests: nothing is cached,
/// PROJ parses the codes, and each position is a call of its own.
#[cfg(test)]
pub(super) fn reference(source: &str, target: &str, points: &mut [[f64; 2]]) -> bool {
    let Ok(library) = library() else { return false };
    let functions = &library.functions;
    let Ok(context) = OwnedContext::new(functions) else { return false };
    let (Ok(source), Ok(target)) = (CString::new(source), CString::new(target)) else { return false };
    // SAFETY: a live context, strings that end in a zero byte; null or a new object each.
    let object = unsafe {
        let (from, to) = (source.as_ptr(), target.as_ptr());
        let plain = (functions.proj_create_crs_to_crs)(context.raw, from, to, ptr::null_mut());
        let Some(plain) = context.own(plain) else { return false };
        context.own((functions.proj_normalize_for_visualization)(context.raw, plain.raw))
    };
    let Some(object) = object else { return false };
    for [x, y] in points {
        let (step, none) = (size_of::<f64>(), ptr::null_mut());
        // SAFETY: a live object and one position, ours alone.
        unsafe {
            let direction = DIRECTION_FORWARD;
            (functions.proj_trans_generic)(
                object.raw, direction, x, step, 1, y, step, 1, none, 0, 0, none, 0, 0,
            );
        }
    }
    true
}

#[cfg(test)]
#[path = "proj_tests.rs"]
mod tests;
