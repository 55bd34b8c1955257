//! The request parser: a state over bytes fed in any chunking.
