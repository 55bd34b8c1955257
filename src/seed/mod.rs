//! Many tiles with no client. Comes with the seeding issue; the room is kept.
