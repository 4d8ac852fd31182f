//! The lines of the table: what was measured, how often, and what is to be reached.

use serde_json::json;

/// Which way is better.
#[derive(Clone, Copy)]
pub enum Better {
    Lower,
    Higher,
}

/// Prints one line; the value is the median of the samples.
pub fn row(name: &str, unit: &str, better: Better, samples: &[f64], goal: f64, load: &str) {
    print(name, unit, better, samples, percentile(samples, 0.5), goal, load);
}

/// Prints the median against its goal, and the 99th percentile against four times the median.
pub fn latency(name: &str, samples: &[f64], goal: f64, load: &str) {
    let median = percentile(samples, 0.5);
    print(&format!("{name}, p50"), "ms", Better::Lower, samples, median, goal, load);
    print(&format!("{name}, p99"), "ms", Better::Lower, samples, percentile(samples, 0.99), 4.0 * median, load);
}

fn print(name: &str, unit: &str, better: Better, samples: &[f64], value: f64, goal: f64, load: &str) {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    let samples: Vec<f64> = samples.iter().copied().map(round).collect();
    let better = match better {
        Better::Lower => "lower",
        Better::Higher => "higher",
    };
    let command = "cargo bench -p nomadd-tests";
    let line = json!({
        "name": name, "unit": unit, "better": better, "samples": samples, "value": round(value), "goal": round(goal),
        "command": command, "load": load,
    });
    println!("{line}");
}

/// The sample below which this part of all samples is.
pub fn percentile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.max(1) - 1).copied().unwrap_or(f64::NAN)
}
