//! Routes and the maps that parameters mean.
