//! Threads that compute and wait, and the hand-over between them and the loop.
//!
//! A thread computes only while it holds a turn at the gate, so at most
//! `render_threads` do at once; the others wait for upstreams or for their turn.
//! Threads come with demand and leave when they have been idle for a while.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use mio::{Token, Waker};

use super::access::count_work;
use super::exchange::quarantined;
use crate::board::{Board, fingerprint};
use crate::log;
use crate::plan::{Gate, Turn};
use crate::service::Work;
use crate::story::{self, Story};
use crate::sys;
use crate::wire::{Response, reply};

/// Small, because there may be dozens of threads; decoders and TLS need less
/// than half of it.
const STACK_BYTES: usize = 1024 * 1024;
/// How long a thread beyond the render threads waits for something to do.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Withdrawn jobs lie in the channel until a thread passes by: bounds them, as
/// a multiple of the queue's bound.
const WITHDRAWN_SHARE_MAX: usize = 4;

const QUEUED: u8 = 0;
const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// A job's place in the queue: either a thread begins it or the loop
/// withdraws it, never both.
#[derive(Debug)]
pub(super) struct Ticket {
    state: AtomicU8,
    /// 0: not begun.
    begun_ms: AtomicU64,
    queued: Arc<AtomicUsize>,
}

impl Ticket {
    fn new(queued: &Arc<AtomicUsize>) -> Arc<Ticket> {
        queued.fetch_add(1, Ordering::Relaxed);
        Arc::new(Ticket {
            state: AtomicU8::new(QUEUED),
            begun_ms: AtomicU64::new(0),
            queued: Arc::clone(queued),
        })
    }

    /// Takes the job back; false when a thread has begun it.
    pub fn withdraw(&self) -> bool {
        self.leave_queue(WITHDRAWN)
    }

    fn begin(&self) -> bool {
        self.begun_ms.store(sys::monotonic_ms(), Ordering::Relaxed);
        self.leave_queue(BEGUN)
    }

    /// When a thread began it, by the monotonic clock of `sys`; 0 before.
    pub fn begun_ms(&self) -> u64 {
        self.begun_ms.load(Ordering::Relaxed)
    }

    fn leave_queue(&self, next: u8) -> bool {
        let left = self.state.compare_exchange(QUEUED, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if left {
            self.queued.fetch_sub(1, Ordering::Relaxed);
        }
        left
    }
}

struct Job {
    owner: Token,
    work: Work,
    ticket: Arc<Ticket>,
    asked_at: Instant,
    /// Method and target, for the log.
    line: String,
    story: Arc<Story>,
}

/// A job's outcome for the connection that waits for it.
pub(super) struct Finished {
    pub owner: Token,
    pub response: Response,
}

/// The queue is full.
pub(super) struct QueueFull;

struct Shared {
    jobs: Receiver<Job>,
    finished: Sender<Finished>,
    waker: Arc<Waker>,
    /// The loop has been woken and has not looked yet.
    woken: AtomicBool,
    idle: AtomicUsize,
    /// Which thread numbers are taken; also counts the threads.
    places: Mutex<Vec<bool>>,
    threads_kept: usize,
    gate: Arc<Gate>,
    board: Arc<Board>,
    slot: usize,
}

pub(super) struct Pool {
    jobs: Sender<Job>,
    finished: Receiver<Finished>,
    /// Jobs that are neither begun nor withdrawn, also those whose thread
    /// waits for its turn.
    queued: Arc<AtomicUsize>,
    queue_max: usize,
    shared: Arc<Shared>,
}

/// What a pool is made of.
pub(super) struct PoolOptions {
    pub gate: Arc<Gate>,
    pub render_threads: usize,
    pub waiting_threads: usize,
    pub queue_max: usize,
    pub board: Arc<Board>,
    pub slot: usize,
    pub waker: Arc<Waker>,
}

impl Pool {
    pub fn new(options: PoolOptions) -> Pool {
        let (jobs, waiting) = crossbeam_channel::unbounded();
        let (results, finished) = crossbeam_channel::unbounded();
        let threads_kept = options.render_threads.max(1);
        let shared = Shared {
            jobs: waiting,
            finished: results,
            waker: options.waker,
            woken: AtomicBool::new(false),
            idle: AtomicUsize::new(0),
            places: Mutex::new(vec![false; threads_kept + options.waiting_threads]),
            threads_kept,
            gate: options.gate,
            board: options.board,
            slot: options.slot,
        };
        let queue_max = options.queue_max.max(1);
        Pool { jobs, finished, queued: Arc::default(), queue_max, shared: Arc::new(shared) }
    }

    pub fn is_full(&self) -> bool {
        self.queued.load(Ordering::Relaxed) >= self.queue_max
            || self.jobs.len() >= self.queue_max.saturating_mul(WITHDRAWN_SHARE_MAX)
    }

    /// Jobs that wait for a thread or its turn.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed) as u64
    }

    /// Whether the queue has come down to three quarters of its bound.
    pub fn has_room_again(&self) -> bool {
        !self.is_full() && self.queued.load(Ordering::Relaxed) <= self.queue_max * 3 / 4
    }

    /// Hands work over for `owner`; the outcome comes with
    /// [`Pool::take_finished`] after a wake-up.
    pub fn submit(
        &self,
        owner: Token,
        work: Work,
        line: String,
        story: Arc<Story>,
    ) -> Result<Arc<Ticket>, QueueFull> {
        if self.is_full() {
            return Err(QueueFull);
        }
        let ticket = Ticket::new(&self.queued);
        let job = Job { owner, work, ticket: Arc::clone(&ticket), asked_at: Instant::now(), line, story };
        // The pool holds a receiver itself, so the channel is open.
        self.jobs.send(job).map_err(|_| QueueFull)?;
        if self.jobs.len() > self.shared.idle.load(Ordering::Relaxed) {
            self.spawn_thread();
        }
        Ok(ticket)
    }

    /// Outcomes since the last call.
    pub fn take_finished(&self) -> impl Iterator<Item = Finished> + use<> {
        self.shared.woken.store(false, Ordering::SeqCst);
        let finished = self.finished.clone();
        std::iter::from_fn(move || finished.try_recv().ok())
    }

    /// One thread more, if there may be one.
    fn spawn_thread(&self) {
        let Some(place) = self.shared.take_place() else { return };
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new()
            .name(format!("render-{place}"))
            .stack_size(STACK_BYTES)
            .spawn(move || shared.work(place));
        if let Err(error) = spawned {
            self.shared.free_place(place);
            log::error!("cannot start a render thread: {error}");
        }
    }
}

impl Shared {
    fn take_place(&self) -> Option<usize> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.iter().position(|taken| !taken)?;
        places[place] = true;
        Some(place)
    }

    fn free_place(&self, place: usize) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = places.get_mut(place) {
            *taken = false;
        }
    }

    /// A thread's life.
    fn work(&self, place: usize) {
        sys::crash::name_thread(place);
        loop {
            self.idle.fetch_add(1, Ordering::Relaxed);
            let received = self.jobs.recv_timeout(IDLE_MAX);
            self.idle.fetch_sub(1, Ordering::Relaxed);
            match received {
                Ok(job) => self.run(place, job),
                // The first threads stay, so a job is always taken up by somebody.
                Err(RecvTimeoutError::Timeout) if place < self.threads_kept => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        self.free_place(place);
    }

    fn run(&self, place: usize, job: Job) {
        let _entered = story::enter(Some(Arc::clone(&job.story)));
        let turn = Turn::take_for(&self.gate, job.asked_at);
        if !job.ticket.begin() {
            return;
        }
        let queued = job.asked_at.elapsed();
        let now_ms = sys::monotonic_ms();
        if self.board.has_quarantine(now_ms)
            && let Some(left_ms) = self.board.quarantine_left_ms(fingerprint(&job.line), now_ms)
        {
            return self.finish(job.owner, quarantined(left_ms));
        }
        let slot = self.board.slot(self.slot);
        slot.mark_busy(place, &job.line, now_ms);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            // Only tests make this place fail, and not with an error.
            let _ = sys::failpoint::pass_with("plan", &job.line);
            (job.work)(&turn)
        }));
        drop(turn);
        slot.mark_idle(place);
        let response = outcome.unwrap_or_else(|_| {
            log::alert!("a panic ended the request {}", job.line);
            reply::plain(500, "the server made a mistake")
        });
        if job.story.is_counted {
            count_work(&self.board, self.slot, &job.story.facts(), queued);
        }
        self.finish(job.owner, response);
    }

    /// Hands an outcome to the loop.
    fn finish(&self, owner: Token, response: Response) {
        let _ = self.finished.send(Finished { owner, response });
        if !self.woken.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            log::alert!("cannot wake the event loop: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(render_threads: usize, waiting_threads: usize, queue_max: usize) -> (mio::Poll, Pool) {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let board = Arc::new(Board::new(0).unwrap());
        let slot = board.claim(1, 1).unwrap();
        let gate = Gate::new(render_threads);
        let options = PoolOptions { gate, render_threads, waiting_threads, queue_max, board, slot, waker };
        (poll, Pool::new(options))
    }

    fn wait_for(poll: &mut mio::Poll, pool: &Pool, count: usize) -> Vec<Finished> {
        let mut all = Vec::new();
        let mut events = mio::Events::with_capacity(8);
        while all.len() < count {
            all.extend(pool.take_finished());
            if all.len() < count {
                poll.poll(&mut events, None).unwrap();
            }
        }
        all
    }

    #[test]
    fn a_panic_is_one_requests_500() {
        let (mut poll, pool) = pool(2, 2, 8);
        for n in 0..6 {
            let work: Work = Box::new(move |_| {
                assert_ne!(n % 2, 1, "an odd one");
                reply::plain(200, "")
            });
            assert!(pool.submit(Token(n), work, format!("GET /{n}"), Story::new(None)).is_ok());
        }
        for finished in wait_for(&mut poll, &pool, 6) {
            let expected = if finished.owner.0 % 2 == 1 { 500 } else { 200 };
            assert_eq!(finished.response.status, expected);
        }
    }

    #[test]
    fn who_waits_gives_its_turn_to_others() {
        let (mut poll, pool) = pool(1, 3, 8);
        let (open, opened) = crossbeam_channel::bounded::<()>(0);
        let waiting: Work = Box::new(move |turn| {
            let _ = turn.wait(|| opened.recv());
            reply::plain(200, "")
        });
        assert!(pool.submit(Token(1), waiting, String::new(), Story::new(None)).is_ok());
        assert!(
            pool.submit(Token(2), Box::new(|_| reply::plain(201, "")), String::new(), Story::new(None))
                .is_ok()
        );
        assert_eq!(wait_for(&mut poll, &pool, 1)[0].response.status, 201);
        drop(open);
        assert_eq!(wait_for(&mut poll, &pool, 1)[0].response.status, 200);
    }

    #[test]
    fn a_full_queue_refuses_and_withdrawn_jobs_never_run() {
        let (mut poll, pool) = pool(1, 0, 2);
        let (open, opened) = crossbeam_channel::bounded::<()>(0);
        let (began, begun) = crossbeam_channel::bounded::<()>(1);
        let first: Work = Box::new(move |_| {
            began.send(()).unwrap();
            let _ = opened.recv();
            reply::plain(200, "")
        });
        let first = pool.submit(Token(1), first, String::new(), Story::new(None)).ok().unwrap();
        begun.recv().unwrap();
        assert!(!first.withdraw());
        let never: Work = Box::new(|_| unreachable!("it was withdrawn"));
        let never = pool.submit(Token(2), never, String::new(), Story::new(None)).ok().unwrap();
        assert!(
            pool.submit(Token(3), Box::new(|_| reply::plain(203, "")), String::new(), Story::new(None))
                .is_ok()
        );
        assert!(pool.is_full() && !pool.has_room_again());
        assert!(
            pool.submit(Token(4), Box::new(|_| reply::plain(204, "")), String::new(), Story::new(None))
                .is_err()
        );
        assert!(never.withdraw() && !never.withdraw());
        assert!(pool.has_room_again());
        drop(open);
        let statuses: Vec<u16> = wait_for(&mut poll, &pool, 2).iter().map(|f| f.response.status).collect();
        assert_eq!(statuses, [200, 203]);
    }
}
