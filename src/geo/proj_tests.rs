//! libproj behind its face.
