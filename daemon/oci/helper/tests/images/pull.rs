//! Images as people make and push them: with umoci and skopeo, from Debian's registry, over HTTP and HTTPS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nomadd_oci::root::{self, Layering};
use nomadd_oci::{Digest, Progress};

use crate::support::{Place, Wish, describe, reason, run};

/// Debian's registry on a free port of the loopback device.
pub struct Registry {
    child: Child,
    pub address: String,
}

impl Registry {
    pub fn new(folder: &Path, tls: Option<(&Path, &Path)>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let tls =
            tls.map(|(cert, key)| format!("  tls:\n    certificate: {}\n    key: {}\n", cert.display(), key.display()));
        let storage = folder.join("registry");
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{}",
            storage.display(),
            tls.unwrap_or_default()
        );
        let path = folder.join("registry.yml");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("docker-registry (of Debian's package of that name)");
        let begun = std::time::Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, address }
    }

    /// Pushes a tag of an OCI layout.
    pub fn push(&self, layout: &Path, tag: &str, name: &str) -> String {
        let name = format!("{}/{name}", self.address);
        let from = format!("oci:{}:{tag}", layout.display());
        run("skopeo", &["copy", "--insecure-policy", "--dest-tls-verify=false", &from, &format!("docker://{name}")]);
        name
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It has nothing to lose.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An image of two layers with everything that files can be; answers the layout and what its root looks like.
pub fn layout(folder: &Path) -> (PathBuf, PathBuf) {
    let (layout, bundle) = (folder.join("layout"), folder.join("bundle"));
    let image = format!("{}:1", layout.display());
    run("umoci", &["init", "--layout", layout.to_str().unwrap()]);
    run("umoci", &["new", "--image", &image]);
    let unpack = |bundle: &Path| run("umoci", &["unpack", "--image", &image, bundle.to_str().unwrap()]);
    let repack = |bundle: &Path| run("umoci", &["repack", "--image", &image, bundle.to_str().unwrap()]);
    unpack(&bundle);
    let script = "set -e; mkdir -p bin etc run var/deep/er gone odd 'sp ace'; cp /bin/busybox bin/; ln bin/busybox bin/sh; ln -s /run var/run
        mkfifo var/fifo; mknod var/null c 1 3; echo secret > etc/shadow; chmod 0640 etc/shadow; chown 33:34 etc/shadow
        echo x > var/deep/er/file; echo x > gone/a; echo x > gone/b; echo one > odd/one; echo two > odd/two; chmod 4755 bin/busybox
        setfattr -n user.note -v hello etc/shadow 2>/dev/null || true; printf x > 'sp ace/new
line'; touch -d @1000000000 etc/shadow; chmod 1777 run";
    let shell = |script: &str| {
        let status = Command::new("sh").args(["-c", script]).current_dir(bundle.join("rootfs")).status().unwrap();
        assert!(status.success());
    };
    shell(script);
    repack(&bundle);
    // A second layer: a file and a folder gone, a folder replaced by a new one, a file by a folder.
    fs::remove_dir_all(&bundle).unwrap();
    unpack(&bundle);
    shell(
        "set -e; rm -r gone; rm var/fifo; rm -r odd; mkdir odd; echo three > odd/three; rm etc/shadow; mkdir etc/shadow; echo y > etc/shadow/y",
    );
    repack(&bundle);
    run(
        "umoci",
        &["config", "--image", &image, "--config.cmd", "/bin/sh", "--config.env", "A=b", "--config.user", "33"],
    );
    fs::remove_dir_all(&bundle).unwrap();
    unpack(&bundle);
    (layout, bundle.join("rootfs"))
}

#[tokio::test]
async fn an_image_is_pulled_and_its_root_is_what_umoci_makes_of_it() {
    let place = Place::new();
    let (layout, expected) = layout(place.folder.path());
    let registry = Registry::new(place.folder.path(), None);
    let name = registry.push(&layout, "1", "some/image:1");
    let mut told: Vec<Progress> = Vec::new();
    let manifest = place.wish(Wish::of(&name), |progress| told.push(progress)).await.unwrap();
    let last = told.last().unwrap();
    assert!(last.layers_done == last.layers && last.layers >= 2 && last.bytes_done == last.bytes, "{told:?}");
    let image = place.image(&manifest);
    assert_eq!((image.config.cmd.as_slice(), image.config.user.as_str()), (&["/bin/sh".to_owned()][..], "33"));
    let expected = describe(&expected);
    for layering in [Layering::Overlay, Layering::Copy] {
        let made = root::make(&place.store, "a.task", &image, place.puller.helper(), layering).unwrap();
        assert_eq!(made.layering, layering);
        let mut is = describe(&made.path);
        if layering == Layering::Copy {
            // A copy has no hard links; content, modes and owners are the same.
            let without = |all: &mut std::collections::BTreeMap<String, String>| {
                all.values_mut().for_each(|text| *text = text.replace("links 2", "links 1"));
            };
            let mut expected = expected.clone();
            without(&mut is);
            without(&mut expected);
            assert_eq!(is, expected);
        } else {
            assert_eq!(is, expected);
        }
        fs::write(made.path.join("bin/new"), "x").unwrap();
        root::release(&place.store, "a.task").unwrap();
        assert!(!made.path.exists());
    }
    assert!(!image.directories[0].join("bin/new").exists(), "layers stay as they are");
    assert_eq!(fs::read_dir(place.store.root().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_image_is_found_by_its_digest_and_in_another_way_it_is_absent() {
    let place = Place::new();
    let (layout, _) = layout(place.folder.path());
    let registry = Registry::new(place.folder.path(), None);
    let name = registry.push(&layout, "1", "some/image:1");
    let manifest = place.pull(&name).await.unwrap();
    let by_digest = format!("{}/some/image@{manifest}", registry.address);
    assert_eq!(place.pull(&by_digest).await.unwrap(), manifest);
    for (name, expected) in [
        ("some/image:2".to_owned(), "has no such image"),
        ("other/image:1".to_owned(), "has no such image"),
        (format!("some/image@{}", Digest::of(b"x")), "has no such image"),
    ] {
        let reason = reason(place.pull(&format!("{}/{name}", registry.address)).await);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_registry_with_a_certificate_is_believed_and_one_with_a_strangers_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=registry",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &at("key"),
            "-out",
            &at("cert"),
        ],
    );
    let (layout, _) = layout(folder.path());
    let registry = Registry::new(folder.path(), Some((Path::new(&at("cert")), Path::new(&at("key")))));
    let name = registry.push(&layout, "1", "some/image:1");
    // What the host trusts is what this variable says.
    let wrapper = folder.path().join("helper");
    let helper = env!("CARGO_BIN_EXE_nomadd-image");
    fs::write(&wrapper, format!("#!/bin/sh\nSSL_CERT_FILE={} exec {helper} \"$@\"\n", at("cert"))).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let place = Place::new();
    let reason = reason(place.pull(&name).await);
    assert!(reason.contains("the registry 127.0.0.1") && reason.contains("certificate"), "{reason}");
    let store = folder.path().join("images");
    let trusting = Place::with_helper(folder, &store, wrapper);
    trusting.pull(&name).await.unwrap();
}
