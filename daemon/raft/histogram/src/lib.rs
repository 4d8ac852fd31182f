//! The histograms that openraft fills, keeping nothing.
//!
//! openraft records batch sizes into `base2histogram`, whose tables for every possible resolution are built at the first use and
//! hold 26 MB for ever: more than everything else of an idle agent. nomadd never reads those figures (it counts in its own
//! metrics), so this crate of the same name and surface stands in for it. Used by openraft only.

use std::fmt;
use std::marker::PhantomData;

/// A histogram that forgets what it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Histogram<T = ()>(PhantomData<T>);

impl<T> Histogram<T> {
    /// An empty histogram.
    pub fn new() -> Self {
        Self(PhantomData)
    }
    /// Takes a value.
    pub fn record(&mut self, _: u64) {}
    /// Takes a value several times.
    pub fn record_n(&mut self, _: u64, _: u64) {}
    /// How many values it has.
    pub fn total(&self) -> u64 {
        0
    }
    /// The percentiles of nothing.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}
impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}
impl<T> fmt::Debug for Histogram<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Histogram")
    }
}

/// The percentiles of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many values there are.
    pub samples: u64,
    /// 0.1 %.
    pub p0_1: u64,
    /// 1 %.
    pub p1: u64,
    /// 5 %.
    pub p5: u64,
    /// 10 %.
    pub p10: u64,
    /// The median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples", self.samples)
    }
}

/// A drawing of histograms: an empty page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsciiChart;

impl AsciiChart {
    /// An empty page.
    pub fn new() -> Self {
        Self
    }
    /// Leaves out a histogram.
    #[must_use]
    pub fn add<T>(self, _: &str, _: Histogram<T>) -> Self {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
