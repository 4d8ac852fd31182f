//! Namespaces on the bridge, alone and with others, and what is left of them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nomadd_network::{Kept, Mode};

use crate::support::{CLEAN, World, alone, inside, port, request, sh};

/// A program that says its name to whoever connects, in a namespace; ends with this value.
struct Greeter(std::process::Child);

impl Greeter {
    fn start(namespace: &std::path::Path, port: u16, word: &str) -> Self {
        let script = format!(
            "import socket as s\nl=s.socket(); l.setsockopt(s.SOL_SOCKET,s.SO_REUSEADDR,1); l.bind(('', {port})); l.listen()\n\
             while True:\n  c,_=l.accept(); c.recv(9999); c.sendall(b'{word}'); c.close()"
        );
        let net = format!("--net={}", namespace.display());
        let child = std::process::Command::new("nsenter").args([&net, "python3", "-c", &script]).spawn().unwrap();
        Self(child)
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What is said at an address, once somebody listens there.
fn hear(address: &str) -> String {
    let address: SocketAddr = address.parse().unwrap();
    for _ in 0..300 {
        let mut word = String::new();
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            drop(stream.write_all(b"who\n"));
            if stream.read_to_string(&mut word).is_ok() && !word.is_empty() {
                return word;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody answers at {address}")
}

#[test]
fn a_port_of_the_host_leads_into_the_namespace_and_nothing_is_left_of_it() {
    alone(async |world: World| {
        let networks = world.networks(world.config());
        let mut wanted = request("a-1", Mode::Bridge);
        wanted.ports = vec![port(28_080, 80)];
        let attached = networks.attach(&wanted).await.unwrap();
        assert!(attached.address.starts_with("172.26.64."), "{attached:?}");
        assert_eq!(attached.interface, "eth0");
        let namespace = attached.namespace.clone().unwrap();
        let seen = inside(&namespace, "ip -br addr");
        assert!(seen.contains("lo ") && seen.contains("127.0.0.1/8") && seen.contains(&attached.address), "{seen}");
        let hosts = attached.files.iter().find(|(_, target)| target.ends_with("hosts")).unwrap();
        let text = std::fs::read_to_string(&hosts.0).unwrap();
        assert!(text.contains(&format!("{} web", attached.address)), "{text}");

        let _greeter = Greeter::start(&namespace, 80, "hello");
        assert_eq!(hear("10.99.0.1:28080"), "hello");
        assert_eq!(hear("127.0.0.1:28080"), "hello");
        assert_eq!(hear(&format!("{}:80", attached.address)), "hello");

        drop(_greeter);
        networks.detach("a-1").await.unwrap();
        assert_eq!(world.left(), CLEAN);
        networks.detach("a-1").await.unwrap();
    });
}

#[test]
fn two_namespaces_have_addresses_and_loopbacks_of_their_own() {
    alone(async |world: World| {
        let networks = world.networks(world.config());
        let (first, second) = (request("a-1", Mode::Bridge), request("a-2", Mode::Bridge));
        let (first, second) = tokio::join!(networks.attach(&first), networks.attach(&second));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_ne!(first.address, second.address);
        let (one, other) = (first.namespace.clone().unwrap(), second.namespace.clone().unwrap());
        let _greeter = Greeter::start(&one, 80, "first");
        assert_eq!(hear(&format!("{}:80", first.address)), "first");
        let ask = |address: &str| {
            let script = format!("curl -sS --http0.9 --max-time 5 http://{address}:80/ 2>&1 || true");
            inside(&other, &script)
        };
        assert!(ask(&first.address).contains("first"), "{}", ask(&first.address));
        let refused = ask("127.0.0.1");
        assert!(refused.contains("refused") || refused.contains("connect"), "{refused}");
        networks.detach("a-1").await.unwrap();
        networks.detach("a-2").await.unwrap();
        assert_eq!(world.left(), CLEAN);
    });
}

#[test]
fn another_agent_finds_a_network_again_and_takes_down_what_nobody_uses() {
    alone(async |world: World| {
        let earlier = world.networks(world.config());
        let mut wanted = request("kept", Mode::Bridge);
        wanted.ports = vec![port(28_081, 81)];
        let attached = earlier.attach(&wanted).await.unwrap();
        earlier.attach(&request("gone", Mode::Bridge)).await.unwrap();
        earlier.attach(&request("lonely", Mode::None)).await.unwrap();
        drop(earlier);

        let later = world.networks(world.config());
        assert_eq!(later.kept("kept"), Kept::Whole(attached.clone()));
        assert_eq!(later.kept("other"), Kept::Nothing);
        let unused = later.beginning_with("").into_iter().filter(|id| id != "kept").collect();
        later.sweep(unused).await;
        assert_eq!(later.kept("gone"), Kept::Nothing);
        assert_eq!(later.kept("lonely"), Kept::Nothing);
        assert_eq!(later.current("kept").as_ref(), Some(&attached));
        let _greeter = Greeter::start(attached.namespace.as_ref().unwrap(), 81, "still");
        assert_eq!(hear("10.99.0.1:28081"), "still");

        // As after a boot of the host: the file is there, the namespace and the rules are not.
        drop(_greeter);
        sh(&format!("umount -l {}", attached.namespace.as_ref().unwrap().display()));
        sh("iptables -t nat -F && iptables -t nat -X");
        assert_eq!(later.kept("kept"), Kept::Broken);
        later.detach("kept").await.unwrap();
        assert_eq!(world.left(), CLEAN);
    });
}

#[test]
fn a_namespace_without_a_network_has_a_loopback_and_no_way_out() {
    alone(async |world: World| {
        let networks = world.networks(world.config());
        let attached = networks.attach(&request("a-1", Mode::None)).await.unwrap();
        let seen = inside(attached.namespace.as_ref().unwrap(), "ip -br addr; ip route");
        assert!(seen.starts_with("lo") && seen.contains("127.0.0.1/8") && seen.lines().count() == 1, "{seen}");
        assert_eq!((attached.address.as_str(), attached.interface.as_str()), ("", ""));
        networks.detach("a-1").await.unwrap();
        assert_eq!(world.left(), CLEAN);
    });
}

#[test]
fn a_bridge_with_both_families_gives_an_address_of_each() {
    alone(async |world: World| {
        let mut config = world.config();
        config.bridge.subnet6 = Some("fd00:a110:c8::/64".to_owned());
        let networks = world.networks(config);
        let attached = networks.attach(&request("a-1", Mode::Bridge)).await.unwrap();
        assert!(attached.address6.starts_with("fd00:a110:c8:"), "{attached:?}");
        let seen = inside(attached.namespace.as_ref().unwrap(), "ip -6 -br addr show eth0");
        assert!(seen.contains(&attached.address6), "{seen}");
        networks.detach("a-1").await.unwrap();
        assert_eq!(world.left(), CLEAN);
    });
}

#[test]
fn an_operators_own_network_is_set_up_by_its_file() {
    alone(async |world: World| {
        let config = world.config();
        std::fs::create_dir_all(&config.configurations).unwrap();
        let list = serde_json::json!({
            "cniVersion": "0.4.0", "name": "mine",
            "plugins": [{ "type": "ptp", "ipMasq": false, "dns": { "nameservers": ["10.9.9.9"] }, "ipam": {
                "type": "host-local", "dataDir": config.bridge.addresses, "subnet": "172.26.200.0/24" } }],
        });
        std::fs::write(config.configurations.join("mine.conflist"), list.to_string()).unwrap();
        let networks = world.networks(config);
        let attached = networks.attach(&request("a-1", Mode::Cni("mine".to_owned()))).await.unwrap();
        assert!(attached.address.starts_with("172.26.200."), "{attached:?}");
        assert_eq!(attached.dns.clone().unwrap().servers, Some(vec!["10.9.9.9".to_owned()]));
        let resolver = attached.files.iter().find(|(_, target)| target.ends_with("resolv.conf")).unwrap();
        assert!(std::fs::read_to_string(&resolver.0).unwrap().contains("nameserver 10.9.9.9"));
        networks.detach("a-1").await.unwrap();
        assert_eq!(world.left(), CLEAN);
        let error = networks.attach(&request("a-2", Mode::Cni("other".to_owned()))).await.unwrap_err();
        assert!(error.to_string().contains("\"other\""), "{error}");
        assert_eq!(world.left(), CLEAN);
    });
}
