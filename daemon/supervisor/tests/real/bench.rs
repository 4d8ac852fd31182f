//! Figures, on demand: `cargo test -p nomadd-supervisor --release -- --ignored --nocapture bench`.
