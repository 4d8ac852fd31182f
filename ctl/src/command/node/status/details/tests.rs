//! The status of a node, built from the API's JSON, against the text that the real program printed of such a one.

use serde_json::json;

use super::*;

fn plain() -> Context {
    Context::new(&crate::context::Global { no_color: true, ..Default::default() }, crate::context::Needs::Agent)
        .unwrap()
}

fn dev() -> Whole {
    let driver = |detected| json!({"Detected": detected, "Healthy": detected});
    Whole {
        node: serde_json::from_value(json!({
            "ID": "cffa1cd8-5716-5634-cb04-73349f2bbd0b", "Name": "dev-node", "NodePool": "default", "Datacenter": "dc1",
            "SchedulingEligibility": "eligible", "Status": "ready",
            "Drivers": {"raw_exec": driver(true), "exec": driver(true), "docker": driver(false)},
            "NodeResources": {"Cpu": {"CpuShares": 5192}, "Memory": {"MemoryMB": 24105}, "Disk": {"DiskMB": 258_019}},
            "Attributes": {"unique.storage.volume": "/dev/vda", "cpu.arch": "amd64"},
            "Events": [{"Message": "Node registered", "Subsystem": "Cluster"}],
        }))
        .unwrap(),
        stats: Some(
            serde_json::from_value(json!({
                "Uptime": 2104, "CPUTicksConsumed": 5139.9, "Memory": {"Used": 399 << 20, "Total": 25_276_510_208_u64},
                "DiskStats": [{"Device": "/dev/vda", "Used": 17_179_869_184_u64, "Size": 270_553_174_016_u64}],
                "CPU": [{"CPU": "cpu0", "User": 70.707, "System": 27.27, "Idle": 1.01}],
            }))
            .unwrap(),
        ),
        ..Whole::default()
    }
}

#[test]
fn a_node_is_shown_as_the_real_program_shows_it() {
    let expected = "\
ID              = cffa1cd8-5716-5634-cb04-73349f2bbd0b
Name            = dev-node
Node Pool       = default
Class           = <none>
DC              = dc1
Drain           = false
Eligibility     = eligible
Status          = ready
CSI Controllers = <none>
CSI Drivers     = <none>
Uptime          = 35m4s
Host Volumes    = <none>
Host Networks   = <none>
CSI Volumes     = <none>
Driver Status   = exec,raw_exec

Node Events
Time  Subsystem  Message
N/A   Cluster    Node registered

Allocated Resources
CPU         Memory      Disk         Alloc Count
0/5192 MHz  0 B/24 GiB  0 B/252 GiB  0

Allocation Resource Utilization
CPU         Memory
0/5192 MHz  0 B/24 GiB

Host Resource Utilization
CPU            Memory          Disk
5139/5192 MHz  399 MiB/24 GiB  16 GiB/252 GiB

Allocations
No allocations placed";
    assert_eq!(text(&dev(), Options { short: false, stats: false, verbose: false }, &plain(), Time(0)), expected);
}

#[test]
fn a_short_status_has_no_figures_and_a_verbose_one_has_attributes() {
    let short = text(&dev(), Options { short: true, stats: false, verbose: false }, &plain(), Time(0));
    assert!(short.ends_with("Drivers         = exec,raw_exec\n\nAllocations\nNo allocations placed"), "{short}");
    assert!(!short.contains("Uptime"), "{short}");
    let verbose = text(&dev(), Options { short: false, stats: true, verbose: true }, &plain(), Time(0));
    assert!(!verbose.contains("Driver Status"), "{verbose}");
    assert!(
        verbose.contains(
            "\n\nDrivers\nDriver    Detected  Healthy  Message  Time\ndocker    false     false    <none>   N/A\n"
        ),
        "{verbose}"
    );
    assert!(
        verbose.contains("\n\nCPU Stats\nCPU    = cpu0\nUser   = 70.71%\nSystem = 27.27%\nIdle   = 1.01%\n"),
        "{verbose}"
    );
    assert!(
        verbose.contains("\n\nAttributes\ncpu.arch              = amd64\nunique.storage.volume = /dev/vda\n\nMeta\n"),
        "{verbose}"
    );
}

#[test]
fn what_runs_is_counted_and_what_has_ended_is_not() {
    let mut whole = dev();
    let allocation = |status: &str| {
        serde_json::from_value(json!({"ClientStatus": status, "AllocatedResources": {"Shared": {"DiskMB": 300},
            "Tasks": {"t": {"Cpu": {"CpuShares": 30}, "Memory": {"MemoryMB": 20}}}}}))
        .unwrap()
    };
    whole.allocations =
        vec![allocation("running"), allocation("running"), allocation("running"), allocation("complete")];
    let expected = "\
CPU          Memory         Disk             Alloc Count
90/5192 MHz  60 MiB/24 GiB  900 MiB/252 GiB  3";
    assert_eq!(given_out(&whole), expected);
}
