//! A bounded pool of threads on which generators run, so that the async threads never stall.
//!
//! [`Pool::submit`] queues a login and waits for its content without blocking. Whoever waits
//! is answered at the deadline even if the generator does not cooperate; its thread is free
//! again only when the generator really ends, so a pool never runs more than it was given.

use std::{
    collections::VecDeque,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use headstart_protocol::login::LoginData;
use tokio::sync::oneshot;

use super::{Content, Deadline, GenerateError, Generator};

/// The origin's clock: ms since the Unix epoch. Passed in, so that every stamp of the origin
/// comes from one clock.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How much a pool may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// Generations at the same time, at least 1. About the number of cores is right.
    pub threads: usize,
    /// Logins that may wait for a thread. More are refused as [`GenerateError::Busy`].
    pub queue: usize,
}

/// A finished generation with the stamps of its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// What was generated.
    pub content: Content,
    /// When a thread took it up, ms since the Unix epoch.
    pub started_at: u64,
    /// When it was done, ms since the Unix epoch.
    pub generated_at: u64,
}

/// What the pool is doing at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Threads that are there.
    pub threads: usize,
    /// Threads that run a generator, overdue ones included.
    pub running: usize,
    /// Logins that wait for a thread.
    pub queued: usize,
    /// Logins that may wait for a thread.
    pub queue_limit: usize,
}

/// The pool. Dropping it closes it.
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    generator: Arc<dyn Generator>,
    clock: Clock,
    size: PoolSize,
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    running: usize,
    closed: bool,
}

struct Job {
    login: LoginData,
    deadline: Deadline,
    answer: oneshot::Sender<Result<Generated, GenerateError>>,
}

/// Stops a generation that nobody waits for any more: the waiter timed out or went away.
struct CancelOnDrop(Deadline);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for zero threads; what the system says when it does not
    /// give a thread.
    pub fn start(
        generator: Arc<dyn Generator>,
        size: PoolSize,
        clock: Clock,
    ) -> Result<Self, io::Error> {
        if size.threads == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a pool needs at least one thread",
            ));
        }
        let shared = Arc::new(Shared {
            generator,
            clock,
            size,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                running: 0,
                closed: false,
            }),
            work: Condvar::new(),
        });
        // Made first: if a thread cannot be had, dropping it ends those that were.
        let pool = Self { shared };
        for number in 0..size.threads {
            let shared = Arc::clone(&pool.shared);
            thread::Builder::new()
                .name(format!("generate-{number}"))
                .spawn(move || shared.work_until_closed())?;
        }
        Ok(pool)
    }

    /// Generates the content for `login` and waits for it at most `timeout`, the time in the
    /// queue included. Dropping the future cancels the generation.
    ///
    /// # Errors
    /// Whatever the generator answers; [`GenerateError::Busy`] at once when the queue is full,
    /// [`GenerateError::ShuttingDown`] when the pool is closed before a thread takes it up,
    /// [`GenerateError::TimedOut`] at the deadline, [`GenerateError::Panicked`].
    pub async fn submit(
        &self,
        login: LoginData,
        timeout: Duration,
    ) -> Result<Generated, GenerateError> {
        let deadline = Deadline::after(timeout);
        let _cancel = CancelOnDrop(deadline.clone());
        let (answer, result) = oneshot::channel();
        self.shared.enqueue(Job {
            login,
            deadline,
            answer,
        })?;
        match tokio::time::timeout(timeout, result).await {
            Ok(Ok(result)) => result,
            // A job is dropped unanswered only by closing the pool.
            Ok(Err(_)) => Err(GenerateError::ShuttingDown),
            Err(_) => Err(GenerateError::TimedOut),
        }
    }

    /// Takes no more logins and gives back those that still wait as
    /// [`GenerateError::ShuttingDown`]. What runs may finish and is answered.
    pub fn close(&self) {
        let given_back = {
            let mut state = self.shared.lock();
            state.closed = true;
            std::mem::take(&mut state.queue)
        };
        drop(given_back);
        self.shared.work.notify_all();
    }

    /// Returns what the pool is doing now, for metrics.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let state = self.shared.lock();
        PoolStatus {
            threads: self.shared.size.threads,
            running: state.running,
            queued: state.queue.len(),
            queue_limit: self.shared.size.queue,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.status()).finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, and the state is whole between any two
        // of its steps, so a poisoned lock would still hold a usable state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, job: Job) -> Result<(), GenerateError> {
        let mut state = self.lock();
        if state.closed {
            return Err(GenerateError::ShuttingDown);
        }
        // Those that nobody waits for any more must not take a place.
        state.queue.retain(|waiting| !waiting.answer.is_closed());
        let idle = self.size.threads - state.running;
        if state.queue.len() >= self.size.queue.saturating_add(idle) {
            return Err(GenerateError::Busy);
        }
        state.queue.push_back(job);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Lives the life of one thread.
    fn work_until_closed(&self) {
        while let Some(job) = self.next_job() {
            let result = self.run(&job.login, &job.deadline);
            // Freed before the answer, so that whoever has the answer finds the place free.
            self.lock().running -= 1;
            // The waiter may be gone: it timed out and was told so.
            let _ = job.answer.send(result);
        }
    }

    /// Waits for a job that someone still waits for; `None` when the pool is closed.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            match state.queue.pop_front() {
                Some(job) if job.answer.is_closed() => {}
                Some(job) => {
                    state.running += 1;
                    return Some(job);
                }
                None => {
                    state = self
                        .work
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn run(&self, login: &LoginData, deadline: &Deadline) -> Result<Generated, GenerateError> {
        deadline.check()?;
        let started_at = (self.clock)();
        // A generator that panicked may have left its own caches half done; that is its own
        // affair to guard. The pool's state is not touched in between.
        let content = catch_unwind(AssertUnwindSafe(|| {
            self.generator.generate(login, deadline)
        }))
        .unwrap_or_else(|_| {
            tracing::error!("a generator panicked");
            Err(GenerateError::Panicked)
        })?;
        Ok(Generated {
            content,
            started_at,
            generated_at: (self.clock)(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    };
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    /// Does what the user's name says.
    struct ByName {
        /// Released once per message; closed means "go on".
        gate: Mutex<mpsc::Receiver<()>>,
        runs: AtomicU64,
    }

    impl Generator for ByName {
        fn generate(
            &self,
            login: &LoginData,
            deadline: &Deadline,
        ) -> Result<Content, GenerateError> {
            self.runs.fetch_add(1, Ordering::SeqCst);
            match login.user.as_str() {
                "panics" => panic!("on purpose"),
                "fails" => return Err(GenerateError::Failed("no luck".into())),
                "stubborn" => {
                    let _ = self.gate.lock().unwrap().recv();
                }
                "cooperative" => {
                    while !deadline.has_passed() {
                        thread::sleep(Duration::from_millis(1));
                    }
                    return Err(GenerateError::TimedOut);
                }
                _ => {}
            }
            Ok(Content {
                media_type: "text/plain".into(),
                bytes: login.user.clone().into_bytes(),
            })
        }
    }

    fn pool(threads: usize, queue: usize) -> (Arc<Pool>, mpsc::Sender<()>, Arc<ByName>) {
        let (open, gate) = mpsc::channel();
        let generator = Arc::new(ByName {
            gate: Mutex::new(gate),
            runs: AtomicU64::new(0),
        });
        let ticks = AtomicU64::new(1000);
        let pool = Pool::start(
            generator.clone(),
            PoolSize { threads, queue },
            Arc::new(move || ticks.fetch_add(1, Ordering::SeqCst)),
        )
        .unwrap();
        (Arc::new(pool), open, generator)
    }

    fn login(user: &str) -> LoginData {
        LoginData {
            user: user.into(),
            ..LoginData::default()
        }
    }

    async fn until(pool: &Pool, wanted: impl Fn(PoolStatus) -> bool) {
        let start = Instant::now();
        while !wanted(pool.status()) {
            assert!(start.elapsed() < Duration::from_secs(10), "{pool:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn submit(
        pool: &Arc<Pool>,
        user: &'static str,
    ) -> tokio::task::JoinHandle<Result<Generated, GenerateError>> {
        let pool = Arc::clone(pool);
        tokio::spawn(async move { pool.submit(login(user), LONG).await })
    }

    #[tokio::test]
    async fn content_comes_back_with_the_stamps_of_the_given_clock() {
        let (pool, _open, _) = pool(1, 1);
        let generated = pool.submit(login("anna"), LONG).await.unwrap();
        assert_eq!(generated.content.bytes, b"anna");
        assert_eq!((generated.started_at, generated.generated_at), (1000, 1001));
    }

    #[tokio::test]
    async fn a_panicking_generator_is_an_error_and_costs_no_thread() {
        let (pool, _open, _) = pool(1, 1);
        for _ in 0..3 {
            let panicked = pool.submit(login("panics"), LONG).await;
            assert_eq!(panicked, Err(GenerateError::Panicked));
        }
        assert!(pool.submit(login("anna"), LONG).await.is_ok());
        assert_eq!(pool.status().running, 0);
    }

    #[tokio::test]
    async fn a_failure_is_told_as_the_generator_told_it() {
        let (pool, _open, _) = pool(1, 1);
        let failed = pool.submit(login("fails"), LONG).await.unwrap_err();
        assert_eq!(failed.to_string(), "no luck");
    }

    #[tokio::test]
    async fn a_stubborn_generator_times_out_at_once_and_keeps_its_thread_until_it_ends() {
        let (pool, open, _) = pool(1, 4);
        let start = Instant::now();
        let late = pool
            .submit(login("stubborn"), Duration::from_millis(30))
            .await;
        assert_eq!(late, Err(GenerateError::TimedOut));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(pool.status().running, 1);

        let waiting = submit(&pool, "anna");
        until(&pool, |status| status.queued == 1).await;
        assert!(!waiting.is_finished());
        drop(open);
        assert!(waiting.await.unwrap().is_ok());
        assert_eq!(pool.status().running, 0);
    }

    #[tokio::test]
    async fn a_cooperative_generator_is_told_when_its_waiter_has_gone() {
        let (pool, _open, _) = pool(1, 1);
        let waiter = submit(&pool, "cooperative");
        until(&pool, |status| status.running == 1).await;
        waiter.abort();
        until(&pool, |status| status.running == 0).await;
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (pool, open, _) = pool(1, 1);
        let running = submit(&pool, "stubborn");
        until(&pool, |status| status.running == 1).await;
        let queued = submit(&pool, "anna");
        until(&pool, |status| status.queued == 1).await;
        assert_eq!(
            pool.submit(login("bert"), LONG).await,
            Err(GenerateError::Busy)
        );
        drop(open);
        assert!(running.await.unwrap().is_ok());
        assert!(queued.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_login_that_timed_out_in_the_queue_is_never_generated() {
        let (pool, open, generator) = pool(1, 1);
        let running = submit(&pool, "stubborn");
        until(&pool, |status| status.running == 1).await;
        let late = pool.submit(login("anna"), Duration::from_millis(10)).await;
        assert_eq!(late, Err(GenerateError::TimedOut));
        // Its place is free for the next.
        let next = submit(&pool, "bert");
        drop(open);
        assert!(running.await.unwrap().is_ok());
        assert!(next.await.unwrap().is_ok());
        assert_eq!(generator.runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn as_many_run_at_once_as_there_are_threads() {
        let (pool, open, _) = pool(3, 3);
        let all: Vec<_> = (0..5).map(|_| submit(&pool, "stubborn")).collect();
        until(&pool, |status| status.running == 3 && status.queued == 2).await;
        drop(open);
        for one in all {
            assert!(one.await.unwrap().is_ok());
        }
    }

    #[tokio::test]
    async fn closing_gives_back_what_waits_and_finishes_what_runs() {
        let (pool, open, _) = pool(1, 1);
        let running = submit(&pool, "stubborn");
        until(&pool, |status| status.running == 1).await;
        let queued = submit(&pool, "anna");
        until(&pool, |status| status.queued == 1).await;
        pool.close();
        assert_eq!(queued.await.unwrap(), Err(GenerateError::ShuttingDown));
        assert_eq!(
            pool.submit(login("bert"), LONG).await,
            Err(GenerateError::ShuttingDown)
        );
        drop(open);
        assert!(running.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn the_async_thread_goes_on_while_generators_work() {
        let (pool, open, _) = pool(1, 1);
        let running = submit(&pool, "stubborn");
        until(&pool, |status| status.running == 1).await;
        // This test runs on one async thread: it gets here only if that is not blocked.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(!running.is_finished());
        drop(open);
        assert!(running.await.unwrap().is_ok());
    }

    #[test]
    fn a_pool_without_threads_is_refused() {
        let (_open, gate) = mpsc::channel();
        let generator = Arc::new(ByName {
            gate: Mutex::new(gate),
            runs: AtomicU64::new(0),
        });
        let size = PoolSize {
            threads: 0,
            queue: 1,
        };
        let refused = Pool::start(generator, size, Arc::new(|| 0)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
