//! Images out of archives, as `docker save` and skopeo write them, and archives that are none.

use std::fs;
use std::path::Path;

use nomadd_oci::Digest;
use serde_json::json;

use crate::build::{self, Layer, gzip, image, of};
use crate::support::{Place, describe, reason, run};

/// An image in an archive of a kind that skopeo knows.
fn archive(place: &Place, kind: &str, name: &str) -> std::path::PathBuf {
    let made = image(
        vec![
            Layer::new().folder("bin").file("bin/a", b"first").tar(),
            Layer::new().file("b", b"second").file("bin/.wh.a", b"").tar(),
        ],
        "application/vnd.oci.image.layer.v1.tar",
        json!({"Cmd": ["/bin/x"]}),
    );
    let layout = build::layout(&place.path("layout"), &made, "1");
    let path = place.path(kind);
    let (from, to) = (format!("oci:{}:1", layout.display()), format!("{kind}:{}:{name}", path.display()));
    run("skopeo", &["copy", "--insecure-policy", &from, &to]);
    path
}

fn check(place: &Place, manifest: &Digest) {
    let image = place.image(manifest);
    assert_eq!(image.config.cmd, ["/bin/x"]);
    let made =
        nomadd_oci::root::make(&place.store, "x", &image, place.puller.helper(), nomadd_oci::root::Layering::Overlay);
    let files: Vec<String> = describe(&made.unwrap().path).into_keys().collect();
    nomadd_oci::root::release(&place.store, "x").unwrap();
    assert_eq!(files, ["b", "bin"]);
}

#[tokio::test]
async fn archives_of_both_kinds_are_loaded_also_compressed() {
    for (kind, name, loaded) in [("docker-archive", "some/image:1", "some/image:1"), ("oci-archive", "1", "anything:1")]
    {
        let place = Place::new();
        let path = archive(&place, kind, name);
        let manifest = place.load(&path, loaded).await.unwrap();
        check(&place, &manifest);
        let compressed = place.path("compressed");
        fs::write(&compressed, gzip(&fs::read(&path).unwrap())).unwrap();
        assert_eq!(place.load(&compressed, loaded).await.unwrap(), manifest);
        let said = reason(place.load(&path, "other/image:2").await);
        assert!(said.contains("it has no image other/image:2; it has "), "{said}");
    }
}

#[tokio::test]
async fn what_is_no_archive_of_an_image_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let check = async |bytes: &[u8], expected: &str| {
        let path = place.path("archive");
        fs::write(&path, bytes).unwrap();
        let said = reason(place.load(&path, "a:1").await);
        assert!(said.contains(expected) && !said.contains('\n'), "{said}");
        place.assert_no_trace();
    };
    check(b"hello", "it ends in the middle").await;
    check(&[b'x'; 2000], "it is no tar archive").await;
    check(&gzip(b"hello"), "it ends in the middle").await;
    check(&gzip(b"hello")[..10], "damaged or cut off").await;
    check(&Layer::new().file("a", b"x").tar(), "neither manifest.json (docker save) nor index.json").await;
    check(&Layer::new().file("manifest.json", b"[{").tar(), "its manifest.json cannot be read").await;
    let missing = br#"[{"Config":"../../etc/passwd","RepoTags":null,"Layers":[]}]"#;
    check(&Layer::new().file("manifest.json", missing).tar(), "it has no file \"../../etc/passwd\"").await;
    let circle = br#"[{"Config":"a","RepoTags":["a:1"],"Layers":[]}]"#;
    check(
        &Layer::new().file("manifest.json", circle).symlink("a", "b").symlink("b", "a").tar(),
        "it has no file \"a\"",
    )
    .await;
    // A layer that is not what the configuration says it is, and one that leads out.
    let honest = Layer::new().file("a", b"x").tar();
    let config = |layer: &[u8]| json!({"rootfs": {"diff_ids": [Digest::of(layer)]}}).to_string();
    let with = |config: String, layer: &[u8]| {
        let manifest = br#"[{"Config":"c","RepoTags":["a:1"],"Layers":["l"]}]"#;
        Layer::new().file("manifest.json", manifest).file("c", config.as_bytes()).file("l", layer).tar()
    };
    check(&with(config(b"other"), &honest), "its content has the digest").await;
    let evil = Layer::new().file("../a", b"x").tar();
    check(&with(config(&evil), &evil), "leads out of the image").await;
    assert!(Path::new(place.store.root()).is_dir());
}

#[tokio::test]
async fn a_layer_packed_with_zstd_is_unpacked() {
    let place = Place::new();
    let tar = Layer::new().file("a", &b"zstandard ".repeat(100_000)).tar();
    let (plain, packed) = (place.path("tar"), place.path("zst"));
    fs::write(&plain, &tar).unwrap();
    run("zstd", &["-q", "-o", packed.to_str().unwrap(), plain.to_str().unwrap()]);
    let made = image(vec![fs::read(&packed).unwrap()], "application/vnd.oci.image.layer.v1.tar+zstd", json!({}));
    let fake = crate::fake::Fake::new();
    let manifest = place.pull(&fake.put("zstd", &made)).await.unwrap();
    let file = place.image(&manifest).directories[0].join("a");
    assert_eq!(fs::read(file).unwrap(), b"zstandard ".repeat(100_000));
    drop(of(Layer::new()));
}
