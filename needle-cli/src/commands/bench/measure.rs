//! Repeated timing.

use std::time::{Duration, Instant};

use crate::Outcome;

/// Times of repetitions, sorted.
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The time that this share of the repetitions stayed within.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length is an index"
        )]
        let index = (share * self.0.len() as f64) as usize;
        self.0.get(index.min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// The median and the 99th percentile, in milliseconds.
    pub(super) fn quantiles_ms(&self) -> [f64; 2] {
        [0.5, 0.99].map(|share| 1000.0 * self.quantile(share).as_secs_f64())
    }

    pub(super) fn milliseconds(&self) -> Vec<f64> {
        self.0.iter().map(|time| 1000.0 * time.as_secs_f64()).collect()
    }
}

/// Times `task` again and again for `seconds`, after one repetition that does not count.
pub(super) fn repeat<T>(seconds: f64, mut task: impl FnMut() -> Outcome<T>) -> Outcome<Times> {
    task()?;
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || start.elapsed().as_secs_f64() < seconds {
        times.push(time(&mut task)?);
    }
    Ok(Times::new(times))
}

/// The time of one repetition; its result is dropped afterwards.
pub(super) fn time<T>(task: impl FnOnce() -> Outcome<T>) -> Outcome<Duration> {
    let start = Instant::now();
    let result = task()?;
    let elapsed = start.elapsed();
    drop(std::hint::black_box(result));
    Ok(elapsed)
}

/// Resident memory of this process in megabytes, where the system tells.
pub(super) fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    // Linux writes kB for 1,024 bytes.
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}
