//! Images made by the test: an OCI layout with Debian's static busybox in it, pushed into Debian's registry on this host.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::wait::until;

/// Debian's registry on a port of the loopback device, with the images that tests push.
pub struct Registry {
    child: Child,
    /// `HOST:PORT`.
    pub address: String,
    folder: tempfile::TempDir,
}

impl Registry {
    /// Starts a registry; returns when it answers.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address").to_string();
        drop(listener);
        let config = folder.path().join("registry.yml");
        let storage = folder.path().join("registry");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            storage.display()
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("docker-registry (packaging/install-deps) starts");
        let registry = Self { child, address, folder };
        until("the registry answers", || async { std::net::TcpStream::connect(&registry.address).map(drop) }).await;
        registry
    }

    /// Makes an image with busybox and what a script puts into its root, sets its configuration with arguments of
    /// `umoci config`, pushes it as `NAME:TAG`, and answers what jobs call it.
    pub fn push(&self, name: &str, script: &str, config: &[&str]) -> String {
        let layout = self.layout(name, script, config);
        let full = format!("{}/{name}", self.address);
        let from = format!("oci:{}:1", layout.display());
        run(
            "skopeo",
            &["copy", "-q", "--insecure-policy", "--dest-tls-verify=false", &from, &format!("docker://{full}")],
        );
        full
    }

    /// The same as an archive that `load` takes.
    pub fn archive(&self, name: &str, script: &str, to: &Path) {
        let layout = self.layout(name, script, &[]);
        let (from, to) = (format!("oci:{}:1", layout.display()), format!("docker-archive:{}:{name}", to.display()));
        run("skopeo", &["copy", "-q", "--insecure-policy", &from, &to]);
    }

    fn layout(&self, name: &str, script: &str, config: &[&str]) -> PathBuf {
        let plain = name.replace(['/', ':'], "-");
        let (layout, bundle) = (self.folder.path().join(format!("{plain}.layout")), self.folder.path().join(&plain));
        let (image, at) = (format!("{}:1", layout.display()), bundle.display().to_string());
        run("umoci", &["init", "--layout", &layout.display().to_string()]);
        run("umoci", &["new", "--image", &image]);
        run("umoci", &["unpack", "--image", &image, &at]);
        let base =
            "set -e; mkdir -p bin etc tmp root; chmod 1777 tmp; cp /bin/busybox bin/; ./bin/busybox --install -s bin
            for file in bin/*; do [ -L $file ] && ln -sf busybox $file; done
            echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd; echo 'web:x:33:34:web:/srv:/bin/sh' >> etc/passwd
            echo 'root:x:0:' > etc/group; echo 'web:x:34:' >> etc/group; echo 'logs:x:50:web' >> etc/group";
        let status = Command::new("sh")
            .args(["-c", &format!("{base}\n{script}")])
            .current_dir(bundle.join("rootfs"))
            .status()
            .expect("a shell runs");
        assert!(status.success(), "the script of the image {name} fails");
        run("umoci", &["repack", "--image", &image, &at]);
        let usual = ["config", "--image", &image, "--config.env", "PATH=/bin"];
        run("umoci", &[&usual[..], config].concat());
        layout
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It has nothing to lose.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} (packaging/install-deps): {error}"));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}
