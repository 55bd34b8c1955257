//! XML and HTML as trees, merged and transformed: libxml2 and libxslt opened at
//! run time, a few functions behind a small safe face.
//!
//! Feature info only: documents are small, come from upstreams and are hostile.
//! Nothing here reads the network or writes a file, entities are not expanded.
//! Where no libxslt is found, [`missing`] says what to install.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Templates within templates. libxslt's own 3,000 do not fit a worker's stack.
const TEMPLATE_DEPTH_MAX: c_int = 250;
/// Longest document that is parsed.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(target_os = "macos")]
const FILE_NAMES: &[&str] = &["libxslt.1.dylib", "/opt/homebrew/opt/libxslt/lib/libxslt.1.dylib"];
#[cfg(not(target_os = "macos"))]
const FILE_NAMES: &[&str] = &["libxslt.so.1", "libxslt.so"];
#[cfg(target_os = "macos")]
const EXTENSION_NAMES: &[&str] = &["libexslt.0.dylib"];
#[cfg(not(target_os = "macos"))]
const EXTENSION_NAMES: &[&str] = &["libexslt.so.0", "libexslt.so"];

// xmlParserOption and htmlParserOption of parser.h and HTMLparser.h.
const RECOVER: c_int = 1;
const SUBSTITUTE_ENTITIES: c_int = 2;
const NO_ERROR: c_int = 32;
const NO_WARNING: c_int = 64;
const NO_NETWORK: c_int = 2048;
const NO_CDATA: c_int = 16_384;
// xmlElementType of tree.h.
const ELEMENT_NODE: c_int = 1;
const PI_NODE: c_int = 7;
const COMMENT_NODE: c_int = 8;
const DTD_NODE: c_int = 14;
// xsltSecurityOption of security.h.
const READ_FILE: c_int = 1;
const WRITE_FILE: c_int = 2;
const CREATE_DIRECTORY: c_int = 3;
const READ_NETWORK: c_int = 4;
const WRITE_NETWORK: c_int = 5;

/// The head that `xmlNode` and `xmlDoc` share since libxml2 2.0 (tree.h).
#[repr(C)]
struct Node {
    private: *mut c_void,
    kind: c_int,
    name: *const c_char,
    children: *mut Node,
    last: *mut Node,
    parent: *mut Node,
    next: *mut Node,
    prev: *mut Node,
    doc: *mut Node,
}

/// The head of `xmlError` (xmlerror.h).
#[repr(C)]
struct LastError {
    domain: c_int,
    code: c_int,
    message: *const c_char,
    level: c_int,
    file: *const c_char,
    line: c_int,
}

type Opaque = *mut c_void;
/// A variadic C function; ours looks at none of its arguments.
type ErrorHandler = unsafe extern "C" fn(Opaque, *const c_char);

/// Declares the table of functions and how it is filled: the names are those
/// of the C headers, the types are given here.
macro_rules! functions {
    ($($name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        #[allow(non_snake_case)]
        struct Functions { $($name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)* }

        impl Functions {
            fn load(handle: Opaque) -> Result<Functions, String> {
                Ok(Functions {
                    $($name: {
                        let address = symbol(handle, concat!(stringify!($name), "\0"))
                            .ok_or_else(|| concat!("it lacks ", stringify!($name)).to_owned())?;
                        // SAFETY: the symbol is the C function of this name, whose documented
                        // signature is the field's type.
                        unsafe {
                            std::mem::transmute::<Opaque, unsafe extern "C" fn($($arg),*) $(-> $ret)?>(address)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    xmlInitParser: fn();
    xmlReadMemory: fn(*const c_char, c_int, *const c_char, *const c_char, c_int) -> *mut Node;
    htmlReadMemory: fn(*const c_char, c_int, *const c_char, *const c_char, c_int) -> *mut Node;
    xmlFreeDoc: fn(*mut Node);
    xmlDocGetRootElement: fn(*const Node) -> *mut Node;
    xmlDocCopyNode: fn(*mut Node, *mut Node, c_int) -> *mut Node;
    xmlAddChild: fn(*mut Node, *mut Node) -> *mut Node;
    xmlFreeNode: fn(*mut Node);
    xmlGetLastError: fn() -> *const LastError;
    xmlAllocOutputBuffer: fn(Opaque) -> Opaque;
    xmlOutputBufferGetContent: fn(Opaque) -> *const c_char;
    xmlOutputBufferGetSize: fn(Opaque) -> usize;
    xmlOutputBufferClose: fn(Opaque) -> c_int;
    xmlNodeDumpOutput: fn(Opaque, *mut Node, *mut Node, c_int, c_int, *const c_char);
    htmlNodeDumpFormatOutput: fn(Opaque, *mut Node, *mut Node, *const c_char, c_int);
    xsltParseStylesheetDoc: fn(*mut Node) -> Opaque;
    xsltFreeStylesheet: fn(Opaque);
    xsltNewTransformContext: fn(Opaque, *mut Node) -> Opaque;
    xsltFreeTransformContext: fn(Opaque);
    xsltSetTransformErrorFunc: fn(Opaque, Opaque, Option<ErrorHandler>);
    xsltSetGenericErrorFunc: fn(Opaque, Option<ErrorHandler>);
    xsltApplyStylesheetUser: fn(Opaque, *mut Node, *const *const c_char, *const c_char, Opaque, Opaque) -> *mut Node;
    xsltNewSecurityPrefs: fn() -> Opaque;
    xsltSetSecurityPrefs: fn(Opaque, c_int, Opaque) -> c_int;
    xsltSetDefaultSecurityPrefs: fn(Opaque);
    xsltSetCtxtSecurityPrefs: fn(Opaque, Opaque) -> c_int;
}

/// The libraries, opened once and never closed.
struct Library {
    functions: Functions,
    /// What a running transformation may do: nothing outside itself.
    sealed: Opaque,
}

// SAFETY: the functions are thread-safe once xmlInitParser has run, which `open` sees to;
// the security preferences are written only there.
unsafe impl Send for Library {}
// SAFETY: as for Send.
unsafe impl Sync for Library {}

static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();

fn library() -> Result<&'static Library, XsltError> {
    LIBRARY.get_or_init(open).as_ref().map_err(|reason| XsltError::Library { reason: reason.clone() })
}

/// Why documents cannot be merged and transformed on this machine.
pub fn missing() -> Option<XsltError> {
    library().err()
}

/// Why a document is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XsltError {
    #[error("libxslt cannot be used ({reason}); install it (Debian: libxslt1.1)")]
    Library { reason: String },
    #[error("not well-formed: {reason}")]
    Document { reason: String },
    #[error("{path}: {reason}")]
    Stylesheet { path: String, reason: String },
    #[error("the stylesheet gave no document")]
    Transformation,
}

fn symbol(handle: Opaque, name: &str) -> Option<Opaque> {
    // SAFETY: `handle` came from dlopen and is never closed; the name ends in a zero byte.
    let address = unsafe { libc::dlsym(handle, name.as_ptr().cast()) };
    (!address.is_null()).then_some(address)
}

fn open_any(names: &[&str]) -> Option<Opaque> {
    names.iter().find_map(|name| {
        let path = CString::new(*name).ok()?;
        // SAFETY: a path that ends in a zero byte; the initialisers ask nothing of us.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        (!handle.is_null()).then_some(handle)
    })
}

fn open() -> Result<Library, String> {
    let handle = open_any(FILE_NAMES).ok_or("it is not installed")?;
    // libxml2 comes with libxslt: its symbols are found through the same handle.
    let functions = Functions::load(handle)?;
    let forbid = symbol(handle, "xsltSecurityForbid\0").ok_or("it lacks xsltSecurityForbid")?;
    if let Some(depth) = symbol(handle, "xsltMaxDepth\0") {
        // SAFETY: a documented global `int` of libxslt, written before anything is transformed.
        unsafe { *depth.cast::<c_int>() = TEMPLATE_DEPTH_MAX };
    }
    // SAFETY: both may be called once, by one thread, before anything else: `get_or_init` sees to it.
    unsafe {
        (functions.xmlInitParser)();
        (functions.xsltSetGenericErrorFunc)(ptr::null_mut(), Some(ignore));
    }
    if let Some(extensions) = open_any(EXTENSION_NAMES)
        && let Some(register) = symbol(extensions, "exsltRegisterAll\0")
    {
        // SAFETY: the documented signature: no argument, no result.
        unsafe { std::mem::transmute::<Opaque, unsafe extern "C" fn()>(register)() };
    }
    let preferences = |forbidden: &[c_int]| {
        // SAFETY: creates a structure that is never freed, and sets options of it.
        unsafe {
            let preferences = (functions.xsltNewSecurityPrefs)();
            if !preferences.is_null() {
                for option in forbidden {
                    (functions.xsltSetSecurityPrefs)(preferences, *option, forbid);
                }
            }
            preferences
        }
    };
    // A stylesheet may include its neighbours when it is read; when it runs it reads nothing.
    let reading = preferences(&[WRITE_FILE, CREATE_DIRECTORY, READ_NETWORK, WRITE_NETWORK]);
    let sealed = preferences(&[READ_FILE, WRITE_FILE, CREATE_DIRECTORY, READ_NETWORK, WRITE_NETWORK]);
    if reading.is_null() || sealed.is_null() {
        return Err("it cannot be kept from the network".into());
    }
    // SAFETY: preferences that live as long as the process.
    unsafe { (functions.xsltSetDefaultSecurityPrefs)(reading) };
    Ok(Library { functions, sealed })
}

/// Takes libxslt's printf-like messages and says nothing: they may hold foreign text.
unsafe extern "C" fn ignore(_: Opaque, _: *const c_char) {}

/// How a document is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markup {
    Xml,
    Html,
}

/// A parsed document.
pub struct Document {
    library: &'static Library,
    /// An `xmlDoc`, never null.
    raw: *mut Node,
}

// SAFETY: a document is owned by one value and has no ties to the thread that made it.
unsafe impl Send for Document {}

impl Drop for Document {
    fn drop(&mut self) {
        // SAFETY: made by libxml2, owned here alone, freed once.
        unsafe { (self.library.functions.xmlFreeDoc)(self.raw) };
    }
}

impl Document {
    /// Reads a document. HTML is read as browsers do, whatever is wrong with it.
    ///
    /// # Errors
    /// XML that is not well-formed, nothing at all, or no libxslt.
    pub fn parse(bytes: &[u8], markup: Markup) -> Result<Document, XsltError> {
        let library = library()?;
        let refuse = |reason: &str| XsltError::Document { reason: reason.to_owned() };
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(refuse("it is over the limit of 16 MB"));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(refuse("it is empty"));
        }
        let raw = match markup {
            Markup::Xml => read(library, bytes, None, markup, NO_ERROR | NO_WARNING | NO_NETWORK),
            Markup::Html => {
                let whole = with_body(bytes);
                read(library, &whole, None, markup, RECOVER | NO_ERROR | NO_WARNING | NO_NETWORK)
            }
        };
        if raw.is_null() {
            return Err(XsltError::Document { reason: last_error(library) });
        }
        let document = Document { library, raw };
        if document.root().is_none() {
            return Err(refuse("it has no element"));
        }
        Ok(document)
    }

    fn root(&self) -> Option<*mut Node> {
        // SAFETY: a live document.
        let root = unsafe { (self.library.functions.xmlDocGetRootElement)(self.raw) };
        (!root.is_null()).then_some(root)
    }

    /// The element whose children are merged: `body` of HTML, else the root.
    fn container(&self, markup: Markup) -> Option<*mut Node> {
        let root = self.root()?;
        if markup == Markup::Html {
            // SAFETY: nodes of a live document.
            let mut child = unsafe { (*root).children };
            while !child.is_null() {
                // SAFETY: as before; names of elements are strings that end in a zero byte.
                let (kind, name, next) = unsafe { ((*child).kind, (*child).name, (*child).next) };
                if kind == ELEMENT_NODE
                    && !name.is_null()
                    // SAFETY: as before.
                    && unsafe { CStr::from_ptr(name) }.to_bytes().eq_ignore_ascii_case(b"body")
                {
                    return Some(child);
                }
                child = next;
            }
        }
        Some(root)
    }

    /// Appends what the other document's root (or body) holds, from its first
    /// child element on, as MapProxy does.
    pub fn append(&mut self, other: &Document, markup: Markup) {
        let (Some(target), Some(source)) = (self.container(markup), other.container(markup)) else { return };
        let functions = &self.library.functions;
        let mut has_begun = markup == Markup::Html;
        // SAFETY: nodes of two live documents; a copy belongs to this one until it is added or freed.
        unsafe {
            let mut child = (*source).children;
            while !child.is_null() {
                has_begun |= matches!((*child).kind, ELEMENT_NODE | PI_NODE | COMMENT_NODE);
                if has_begun {
                    let copy = (functions.xmlDocCopyNode)(child, self.raw, 1);
                    if !copy.is_null() && (functions.xmlAddChild)(target, copy).is_null() {
                        (functions.xmlFreeNode)(copy);
                    }
                }
                child = (*child).next;
            }
        }
    }

    /// The document as UTF-8, without declaration and document type.
    pub fn to_text(&self, markup: Markup) -> String {
        let functions = &self.library.functions;
        let mut text = String::new();
        // SAFETY: nodes of a live document; the buffer is used here alone and closed once; its
        // content is valid until then.
        unsafe {
            let buffer = (functions.xmlAllocOutputBuffer)(ptr::null_mut());
            if buffer.is_null() {
                return text;
            }
            let mut child = (*self.raw).children;
            while !child.is_null() {
                if (*child).kind != DTD_NODE {
                    match markup {
                        Markup::Xml => {
                            (functions.xmlNodeDumpOutput)(buffer, self.raw, child, 0, 0, c"UTF-8".as_ptr())
                        }
                        Markup::Html => (functions.htmlNodeDumpFormatOutput)(
                            buffer,
                            self.raw,
                            child,
                            c"UTF-8".as_ptr(),
                            0,
                        ),
                    }
                }
                child = (*child).next;
            }
            let content = (functions.xmlOutputBufferGetContent)(buffer);
            if !content.is_null() {
                let bytes = std::slice::from_raw_parts(
                    content.cast::<u8>(),
                    (functions.xmlOutputBufferGetSize)(buffer),
                );
                text = String::from_utf8_lossy(bytes).into_owned();
            }
            (functions.xmlOutputBufferClose)(buffer);
        }
        text
    }
}

/// Text that has no `html` and no `body` is what a body holds: older releases of
/// libxml2 would put a paragraph around it.
fn with_body(bytes: &[u8]) -> Vec<u8> {
    let has = |tag: &[u8]| bytes.windows(tag.len()).any(|window| window.eq_ignore_ascii_case(tag));
    if has(b"<html") || has(b"<body") {
        return bytes.to_vec();
    }
    [b"<html><body>", bytes, b"</body></html>"].concat()
}

fn read(library: &Library, bytes: &[u8], url: Option<&CStr>, markup: Markup, options: c_int) -> *mut Node {
    let Ok(length) = c_int::try_from(bytes.len()) else { return ptr::null_mut() };
    let url = url.map_or(ptr::null(), CStr::as_ptr);
    let data = bytes.as_ptr().cast();
    // SAFETY: `length` bytes at `data`, which the parser copies or has done with when it returns;
    // address and encoding are null or strings that end in a zero byte.
    unsafe {
        match markup {
            Markup::Xml => (library.functions.xmlReadMemory)(data, length, url, ptr::null(), options),
            Markup::Html => {
                let is_utf8 = std::str::from_utf8(bytes).is_ok();
                let encoding = if is_utf8 { c"UTF-8".as_ptr() } else { ptr::null() };
                (library.functions.htmlReadMemory)(data, length, url, encoding, options)
            }
        }
    }
}

/// What the parser found wrong on this thread.
fn last_error(library: &Library) -> String {
    // SAFETY: null, or a structure of this thread that lives until its next parse.
    unsafe {
        let error = (library.functions.xmlGetLastError)();
        if error.is_null() || (*error).message.is_null() {
            return "it cannot be read".into();
        }
        let message = CStr::from_ptr((*error).message).to_string_lossy();
        format!("line {}: {}", (*error).line, super::address::clean(message.trim(), 200))
    }
}

/// A stylesheet that was read once and is applied by many threads, one at a time.
pub struct Stylesheet {
    library: &'static Library,
    raw: Mutex<StylesheetPointer>,
}

/// An `xsltStylesheet`, never null.
struct StylesheetPointer(Opaque);

// SAFETY: a stylesheet has no ties to the thread that made it, and the mutex lets one in at a time.
unsafe impl Send for StylesheetPointer {}

impl std::fmt::Debug for Stylesheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stylesheet")
    }
}

impl Stylesheet {
    /// Reads a stylesheet; `path` is what relative names in it (`xsl:include`) count from.
    ///
    /// # Errors
    /// It is not well-formed or no stylesheet, or no libxslt.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Stylesheet, XsltError> {
        use std::os::unix::ffi::OsStrExt;
        let library = library()?;
        let refuse = |reason: String| XsltError::Stylesheet { path: path.display().to_string(), reason };
        let url = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| refuse("a zero byte in its name".into()))?;
        let options = SUBSTITUTE_ENTITIES | NO_CDATA | NO_ERROR | NO_WARNING | NO_NETWORK;
        let document = read(library, bytes, Some(&url), Markup::Xml, options);
        if document.is_null() {
            return Err(refuse(last_error(library)));
        }
        // SAFETY: a live document, which the stylesheet owns from here on if it is made.
        let raw = unsafe { (library.functions.xsltParseStylesheetDoc)(document) };
        if raw.is_null() {
            // SAFETY: the stylesheet was not made, so the document is still ours.
            unsafe { (library.functions.xmlFreeDoc)(document) };
            return Err(refuse("no stylesheet that libxslt understands (xsltproc names the line)".into()));
        }
        Ok(Stylesheet { library, raw: Mutex::new(StylesheetPointer(raw)) })
    }

    /// The document that the stylesheet makes of another.
    ///
    /// # Errors
    /// The stylesheet ends itself, nests too deeply or asks for what is forbidden.
    pub fn apply(&self, document: &Document) -> Result<Document, XsltError> {
        let functions = &self.library.functions;
        let stylesheet = self.raw.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: a live stylesheet, used by this thread alone while it is locked, and a live
        // document; the context is freed before either goes. The result is ours.
        let raw = unsafe {
            let context = (functions.xsltNewTransformContext)(stylesheet.0, document.raw);
            if context.is_null() {
                return Err(XsltError::Transformation);
            }
            (functions.xsltSetTransformErrorFunc)(context, ptr::null_mut(), Some(ignore));
            let is_sealed = (functions.xsltSetCtxtSecurityPrefs)(self.library.sealed, context) == 0;
            let result = if is_sealed {
                (functions.xsltApplyStylesheetUser)(
                    stylesheet.0,
                    document.raw,
                    ptr::null(),
                    ptr::null(),
                    ptr::null_mut(),
                    context,
                )
            } else {
                ptr::null_mut()
            };
            (functions.xsltFreeTransformContext)(context);
            result
        };
        if raw.is_null() {
            return Err(XsltError::Transformation);
        }
        Ok(Document { library: self.library, raw })
    }
}

impl Drop for StylesheetPointer {
    fn drop(&mut self) {
        if let Ok(library) = library() {
            // SAFETY: made by libxslt, owned here alone, freed once.
            unsafe { (library.functions.xsltFreeStylesheet)(self.0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(text: &str) -> Document {
        Document::parse(text.as_bytes(), Markup::Xml).unwrap()
    }

    fn html(text: &str) -> Document {
        Document::parse(text.as_bytes(), Markup::Html).unwrap()
    }

    #[test]
    fn documents_are_read_and_written() {
        for (text, written) in [
            ("<?xml version='1.0'?><a><b>ä&amp;</b></a>", "<a><b>ä&amp;</b></a>"),
            ("<a/>", "<a/>"),
            ("<g:a xmlns:g=\"u\"><g:b/></g:a>", "<g:a xmlns:g=\"u\"><g:b/></g:a>"),
        ] {
            assert_eq!(xml(text).to_text(Markup::Xml), written);
        }
        for (text, written) in [
            ("äüß▼", "<html><body>äüß▼</body></html>"),
            ("<body><h1>Hello</h1><p>Bar", "<html><body><h1>Hello</h1><p>Bar</p></body></html>"),
            ("<html><body><br></body></html>", "<html><body><br></body></html>"),
        ] {
            assert_eq!(html(text).to_text(Markup::Html), written);
        }
        for broken in ["", " \n", "<a>", "<a></b>", "plain", "\0"] {
            assert!(Document::parse(broken.as_bytes(), Markup::Xml).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn children_move_into_the_first_document() {
        let mut first = xml("<r>x<a/></r>");
        first.append(&xml("<q xmlns:n='u'>y<n:b/>tail<!--c--></q>"), Markup::Xml);
        first.append(&xml("<r><c/></r>"), Markup::Xml);
        let text = first.to_text(Markup::Xml);
        assert_eq!(text, "<r>x<a/><n:b xmlns:n=\"u\"/>tail<!--c--><c/></r>");
        let mut first = html("<p>Bar</p>");
        first.append(
            &html("<html><head><title>t</title></head><body>text<p>Foo</p></body></html>"),
            Markup::Html,
        );
        assert_eq!(first.to_text(Markup::Html), "<html><body><p>Bar</p>text<p>Foo</p></body></html>");
    }

    #[test]
    fn stylesheets_transform_and_touch_nothing_else() {
        let sheet = |body: &str| {
            let text = format!(
                "<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'>{body}</xsl:stylesheet>"
            );
            Stylesheet::parse(text.as_bytes(), Path::new("/no/where/s.xsl"))
        };
        let good =
            sheet("<xsl:template match='/'><z><xsl:value-of select='/a/b'/></z></xsl:template>").unwrap();
        for _ in 0..3 {
            assert_eq!(good.apply(&xml("<a><b>1</b></a>")).unwrap().to_text(Markup::Xml), "<z>1</z>");
        }
        let peeking = sheet(
            "<xsl:template match='/'><z><xsl:copy-of select=\"document('/proc/self/maps')\"/></z></xsl:template>",
        )
        .unwrap();
        let text = peeking.apply(&xml("<a/>")).map(|made| made.to_text(Markup::Xml));
        assert!(matches!(text.as_deref(), Ok("<z/>") | Err(XsltError::Transformation)), "{text:?}");
        let endless = sheet("<xsl:template match='/'><xsl:call-template name='t'/></xsl:template><xsl:template name='t'><xsl:call-template name='t'/></xsl:template>").unwrap();
        let _ = endless.apply(&xml("<a/>"));
        for broken in ["<xsl:nonsense", "<xsl:template match='//['/>"] {
            assert!(matches!(sheet(broken), Err(XsltError::Stylesheet { .. })), "{broken}");
        }
    }

    #[test]
    fn entities_bring_no_files() {
        let text = "<!DOCTYPE a [<!ENTITY f SYSTEM '/etc/hostname'>]><a>&f;</a>";
        let shown = Document::parse(text.as_bytes(), Markup::Xml).map(|made| made.to_text(Markup::Xml));
        assert!(shown.is_err() || shown.as_deref() == Ok("<a>&f;</a>"), "{shown:?}");
    }
}
