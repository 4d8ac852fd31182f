//! Metrics: counted anywhere through the `metrics` facade, shown in Nomad's JSON and in Prometheus' text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::registry::{Registry, Storage};
use nomadd_model::{GaugeValue, MetricsSummary, SampledValue, Time};

/// The measures of this process; a clone shows the same.
#[derive(Clone)]
pub struct Measures(Arc<Registry<Key, Totals>>);

/// What is kept of each measure: numbers, never the samples themselves, so that nothing grows with time.
struct Totals;

impl Storage<Key> for Totals {
    type Counter = Arc<AtomicU64>;
    type Gauge = Arc<AtomicU64>;
    type Histogram = Arc<Total>;

    fn counter(&self, _: &Key) -> Self::Counter {
        Arc::default()
    }
    fn gauge(&self, _: &Key) -> Self::Gauge {
        Arc::default()
    }
    fn histogram(&self, _: &Key) -> Self::Histogram {
        Arc::default()
    }
}

/// The running sums of one histogram.
#[derive(Default)]
struct Total(Mutex<Sample>);

impl HistogramFn for Total {
    fn record(&self, value: f64) {
        let mut sample = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = sample.count == 0;
        sample.count += 1;
        sample.sum += value;
        sample.squares += value * value;
        sample.min = if first { value } else { sample.min.min(value) };
        sample.max = if first { value } else { sample.max.max(value) };
    }
}

/// All samples of one histogram since the start, as sums.
#[derive(Clone, Copy, Default)]
struct Sample {
    count: u64,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Measures {
    /// Installs the recorder; a second one in the same process only sees what is recorded through itself.
    pub fn install() -> Self {
        let measures = Self(Arc::new(Registry::new(Totals)));
        // Fails only when one is installed already (tests).
        let _second = metrics::set_global_recorder(measures.clone());
        measures
    }

    fn gauges(&self) -> BTreeMap<Key, f64> {
        let handles = self.0.get_gauge_handles();
        handles.into_iter().map(|(key, value)| (key, f64::from_bits(value.load(Ordering::Relaxed)))).collect()
    }
    fn counters(&self) -> BTreeMap<Key, u64> {
        self.0.get_counter_handles().into_iter().map(|(key, value)| (key, value.load(Ordering::Relaxed))).collect()
    }
    fn samples(&self) -> BTreeMap<Key, Sample> {
        let taken = |(key, total): (Key, Arc<Total>)| {
            let sample = *total.0.lock().unwrap_or_else(PoisonError::into_inner);
            (sample.count > 0).then_some((key, sample))
        };
        self.0.get_histogram_handles().into_iter().filter_map(taken).collect()
    }

    /// Nomad's JSON form.
    pub fn summary(&self, now: Time) -> MetricsSummary {
        let gauges = self.gauges().into_iter().map(|(key, value)| GaugeValue {
            name: key.name().to_owned(),
            value,
            display_labels: labels(&key),
        });
        let counters = self.counters().into_iter().map(|(key, count)| {
            let count_f = count as f64;
            SampledValue {
                name: key.name().to_owned(),
                display_labels: labels(&key),
                count: count.cast_signed(),
                sum: count_f,
                mean: 1.0,
                min: 1.0,
                max: 1.0,
                ..SampledValue::default()
            }
        });
        let samples = self.samples().into_iter().map(|(key, sample)| {
            let count = sample.count as f64;
            let mean = sample.sum / count;
            SampledValue {
                name: key.name().to_owned(),
                display_labels: labels(&key),
                count: sample.count.cast_signed(),
                sum: sample.sum,
                mean,
                min: sample.min,
                max: sample.max,
                stddev: (sample.squares / count - mean * mean).max(0.0).sqrt(),
                ..SampledValue::default()
            }
        });
        MetricsSummary {
            timestamp: now.to_rfc3339().replace('T', " ").replace('Z', " +0000 UTC"),
            gauges: gauges.collect(),
            points: Vec::new(),
            counters: counters.collect(),
            samples: samples.collect(),
        }
    }

    /// Prometheus' text form: Nomad's names with underscores.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        let mut last = String::new();
        let mut head = |text: &mut String, name: &str, kind: &str| {
            if last != name {
                let _infallible = write!(text, "# HELP {name} {name}\n# TYPE {name} {kind}\n");
                last = name.to_owned();
            }
        };
        for (key, value) in self.gauges() {
            let name = flat(key.name());
            head(&mut text, &name, "gauge");
            let _infallible = writeln!(text, "{name}{} {value}", braces(&key));
        }
        for (key, value) in self.counters() {
            let name = flat(key.name());
            head(&mut text, &name, "counter");
            let _infallible = writeln!(text, "{name}{} {value}", braces(&key));
        }
        for (key, sample) in self.samples() {
            let name = flat(key.name());
            head(&mut text, &name, "summary");
            let _infallible = writeln!(text, "{name}_sum{} {}", braces(&key), sample.sum);
            let _infallible = writeln!(text, "{name}_count{} {}", braces(&key), sample.count);
        }
        text
    }
}

fn labels(key: &Key) -> BTreeMap<String, String> {
    key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect()
}
fn flat(name: &str) -> String {
    name.replace(['.', '-', ' '], "_")
}
fn braces(key: &Key) -> String {
    let inside: Vec<String> = key
        .labels()
        .map(|label| {
            format!(
                "{}=\"{}\"",
                flat(label.key()),
                label.value().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
            )
        })
        .collect();
    if inside.is_empty() { String::new() } else { format!("{{{}}}", inside.join(",")) }
}

impl Recorder for Measures {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.0.get_or_create_counter(key, |counter| Counter::from_arc(Arc::clone(counter)))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.0.get_or_create_gauge(key, |gauge| Gauge::from_arc(Arc::clone(gauge)))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.0.get_or_create_histogram(key, |histogram| Histogram::from_arc(Arc::clone(histogram)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_kept_as_sums() {
        let measures = Measures(Arc::new(Registry::new(Totals)));
        let key = Key::from_static_name("nomad.test");
        for value in [4.0, 2.0, 6.0] {
            measures.0.get_or_create_histogram(&key, |total| total.record(value));
        }
        let summary = measures.summary(Time(0));
        let sample = &summary.samples[0];
        assert_eq!((sample.count, sample.sum, sample.min, sample.max, sample.mean), (3, 12.0, 2.0, 6.0, 4.0));
        assert!(measures.prometheus().contains("nomad_test_sum 12"));
    }
}
