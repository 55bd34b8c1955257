//! Tiles of one cache made on purpose, by some threads, with their progress told.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::walk::Walk;
use crate::geo::{Coverage, TileCoord};
use crate::plan::{PlanError, TileCache, Turn};

/// How often a block is tried; the waits between double.
const TRIES_MAX: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// What is to be made.
pub struct Job {
    pub cache: Arc<TileCache>,
    pub coverage: Coverage,
    /// Ascending.
    pub levels: Vec<u32>,
    pub threads: usize,
    /// Only count.
    pub dry_run: bool,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    pub level: u32,
    pub tiles_done: u64,
    /// The most that there can be: areas that are no rectangles have fewer.
    pub tiles_max: u64,
    /// Tiles that could not be made.
    pub tiles_failed: u64,
    pub elapsed: Duration,
}

/// What a thread tells of a block.
struct Outcome {
    level: u32,
    tiles: u64,
    failure: Option<PlanError>,
}

impl Job {
    /// Makes the tiles; `tell` hears now and then how far it is, and of
    /// failures. The last word is the result.
    pub fn run(&self, tell: &mut dyn FnMut(&Progress, Option<&PlanError>)) -> Progress {
        let began = Instant::now();
        let coverage = self.coverage.transform_to(&self.cache.grid().srs);
        let walks = || self.levels.iter().map(|&level| Walk::new(&self.cache, &coverage, level));
        let mut progress =
            Progress { tiles_max: walks().map(|walk| walk.tiles_max()).sum(), ..Progress::default() };
        let blocks = Mutex::new(walks().flatten());
        let (sender, receiver) = mpsc::sync_channel::<Outcome>(64);
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                let (sender, blocks) = (sender.clone(), &blocks);
                scope.spawn(move || {
                    while let Some(block) = next_of(blocks) {
                        if sender.send(self.make(&block)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let mut told = Instant::now();
            loop {
                let outcome = match receiver.recv_timeout(TELL_EVERY) {
                    Ok(outcome) => Some(outcome),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                progress.elapsed = began.elapsed();
                if let Some(outcome) = outcome {
                    progress.level = outcome.level;
                    match outcome.failure {
                        None => progress.tiles_done += outcome.tiles,
                        Some(error) => {
                            progress.tiles_failed += outcome.tiles;
                            tell(&progress, Some(&error));
                        }
                    }
                }
                if told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    tell(&progress, None);
                }
            }
        });
        progress.elapsed = began.elapsed();
        progress
    }

    /// One block; what fails is tried again after a while.
    fn make(&self, block: &[TileCoord]) -> Outcome {
        let level = block.first().map_or(0, |tile| tile.z);
        let tiles = block.len() as u64;
        let mut failure = None;
        for attempt in 0..TRIES_MAX {
            if self.dry_run {
                break;
            }
            if attempt > 0 {
                thread::sleep(FIRST_WAIT * 2u32.pow(attempt - 1));
            }
            match self.cache.tiles(block, None, &Turn::ungated()) {
                Ok(_) => return Outcome { level, tiles, failure: None },
                Err(error) => failure = Some(error),
            }
        }
        Outcome { level, tiles, failure }
    }
}

fn next_of<I: Iterator>(blocks: &Mutex<I>) -> Option<I::Item> {
    blocks.lock().unwrap_or_else(PoisonError::into_inner).next()
}
