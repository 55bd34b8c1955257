//! The thin safe skin over the kernel.
