//! The `client` block: what a node offers, reserves and reaches.

use super::*;

impl Decoder {
    pub(super) fn client(&mut self, block: Block<'_>, development: bool) -> Client {
        let join = self.join(block);
        let reserved = block.block("reserved");
        self.one_of(block, "preferred_address_family", &["", "ipv4", "ipv6"]);
        self.one_of(block, "supervisor", &["auto", "systemd", "direct"]);
        let (min_port, max_port) =
            (self.port(block, "min_dynamic_port", 20_000), self.port(block, "max_dynamic_port", 32_000));
        if min_port > max_port {
            self.wrong(
                block.place("min_dynamic_port"),
                format!("\"min_dynamic_port\" ({min_port}) is greater than \"max_dynamic_port\" ({max_port})"),
            );
        }
        let mut host_volumes = BTreeMap::new();
        for (name, volume) in block.named("host_volume") {
            match volume.path("path").filter(|path| path.is_absolute()) {
                Some(path) => {
                    host_volumes.insert(name.clone(), HostVolume { path, read_only: volume.flag("read_only", false) });
                }
                None => self.wrong(
                    block.place("host_volume"),
                    format!("host_volume {name:?} needs an absolute path, such as path = \"/srv/{name}\""),
                ),
            }
        }
        let host_networks = block
            .named("host_network")
            .map(|(name, network)| {
                let network = HostNetwork {
                    cidr: network.text_or("cidr", ""),
                    interface: network.text_or("interface", ""),
                    reserved_ports: network.text_or("reserved_ports", ""),
                };
                (name.clone(), network)
            })
            .collect();
        let amount = |decoder: &mut Self, block: Block<'_>, key: &str| decoder.whole(block, key, 0, 0..=i64::MAX);
        // A development agent is not bothered by the disk of a laptop.
        let full = if development { 99.0 } else { 0.0 };
        Client {
            enabled: block.flag("enabled", false) || development,
            servers: block.texts("servers"),
            join,
            state_dir: block.path("state_dir"),
            alloc_dir: block.path("alloc_dir"),
            node_class: block.text_or("node_class", ""),
            node_pool: block.text_or("node_pool", "default"),
            meta: block.map("meta"),
            options: block.map("options"),
            network_interface: block.text_or("network_interface", if development { "lo" } else { "" }),
            preferred_address_family: block.text_or("preferred_address_family", ""),
            network_speed: amount(self, block, "network_speed"),
            cpu_total_compute: amount(self, block, "cpu_total_compute"),
            memory_total_mb: amount(self, block, "memory_total_mb"),
            disk_total_mb: amount(self, block, "disk_total_mb"),
            disk_free_mb: amount(self, block, "disk_free_mb"),
            reservable_cores: block.text_or("reservable_cores", ""),
            max_kill_timeout: block.span("max_kill_timeout", seconds(30)),
            min_dynamic_port: min_port,
            max_dynamic_port: max_port,
            reserved: Reserved {
                cpu: amount(self, reserved, "cpu").unsigned_abs(),
                cores: reserved.text_or("cores", ""),
                memory_mb: amount(self, reserved, "memory").unsigned_abs(),
                disk_mb: amount(self, reserved, "disk").unsigned_abs(),
                ports: reserved.text_or("reserved_ports", ""),
            },
            gc: ClientGc {
                interval: block.span("gc_interval", seconds(if development { 600 } else { 60 })),
                parallel_destroys: self.whole(block, "gc_parallel_destroys", 2, 1..=1024) as usize,
                disk_usage_threshold: block.number("gc_disk_usage_threshold").unwrap_or(f64::max(full, 80.0)),
                inode_usage_threshold: block.number("gc_inode_usage_threshold").unwrap_or(f64::max(full, 70.0)),
                max_allocs: self.whole(block, "gc_max_allocs", 50, 0..=10_000_000) as usize,
            },
            drain_on_shutdown: block.entry("drain_on_shutdown").is_some().then(|| {
                let drain = block.block("drain_on_shutdown");
                Drain {
                    deadline: drain.span("deadline", seconds(3600)),
                    ignore_system_jobs: drain.flag("ignore_system_jobs", false),
                    force: drain.flag("force", false),
                }
            }),
            host_volumes,
            chroot_env: block.map("chroot_env"),
            host_networks,
            network: self.client_network(block),
            cgroup_parent: block.text_or("cgroup_parent", ""),
            supervisor: block.text_or("supervisor", "auto"),
            journal: block.flag("journal", true),
            node_max_allocs: amount(self, block, "node_max_allocs"),
            disable_remote_exec: block.flag("disable_remote_exec", false),
            default_ineligible: block.flag("default_ineligible", false),
        }
    }

    fn client_network(&mut self, block: Block<'_>) -> ClientNetwork {
        let text = |key: &str, fallback: &str| match block.text_or(key, "").as_str() {
            "" => fallback.to_owned(),
            text => text.to_owned(),
        };
        let bridge_name = text("bridge_network_name", "nomad");
        // The kernel takes 15 bytes.
        let is_name = |letter: u8| letter.is_ascii_graphic() && !b"/:".contains(&letter);
        if bridge_name.len() > 15 || !bridge_name.bytes().all(is_name) || matches!(bridge_name.as_str(), "." | "..") {
            let sentence = format!("\"bridge_network_name\" = {bridge_name:?} cannot be the name of a network device");
            self.wrong(block.place("bridge_network_name"), sentence);
        }
        let bridge_subnet = text("bridge_network_subnet", "172.26.64.0/20");
        let bridge_subnet6 = text("bridge_network_subnet_ipv6", "");
        let subnets = [
            ("bridge_network_subnet", &bridge_subnet, "IPv4", "172.26.64.0/20"),
            ("bridge_network_subnet_ipv6", &bridge_subnet6, "IPv6", "fd00:a110:c8::/64"),
        ];
        for (key, subnet, family, example) in subnets.into_iter().filter(|(_, subnet, ..)| !subnet.is_empty()) {
            if !is_subnet(subnet, family == "IPv4") {
                let sentence = format!("{key:?} = {subnet:?} is no {family} subnet such as {example:?}");
                self.wrong(block.place(key), sentence);
            }
        }
        let folders = text("cni_path", "/opt/cni/bin:/usr/libexec/cni:/usr/lib/cni");
        ClientNetwork {
            cni_path: folders.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect(),
            cni_config_dir: text("cni_config_dir", "/opt/cni/config").into(),
            bridge_name,
            bridge_subnet,
            bridge_subnet6,
            hairpin: block.flag("bridge_network_hairpin_mode", false),
            wildcard: block.flag("bind_wildcard_default_host_network", true),
        }
    }
}

/// Whether a text is a range of addresses of a family, with room for more than the bridge itself.
fn is_subnet(text: &str, ipv4: bool) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    match (address.parse::<IpAddr>(), length.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(length)) => ipv4 && length <= 30,
        (Ok(IpAddr::V6(_)), Ok(length)) => !ipv4 && length <= 126,
        _ => false,
    }
}
