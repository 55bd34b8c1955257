//! A file becomes visible only whole: temp name beside it, then rename.
