//! Clusters on hosts of their own (see `nomadd_tests::lab`), while processes die, links are cut and disks are full.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test")]

mod hosts {
    pub mod bridge;
    pub mod clocks;
    pub mod deaths;
    pub mod doctor;
    pub mod first_cluster;
    pub mod hello;
    pub mod measured;
    pub mod migrate;
    pub mod network;
    pub mod trust;
    pub mod units;
    pub mod upgrade;
}
