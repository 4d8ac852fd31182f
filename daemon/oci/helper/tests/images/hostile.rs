//! Layers that mean harm: each ends in one clear sentence and leaves nothing, neither in the store nor outside of it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nomadd_oci::Limits;
use serde_json::json;

use crate::build::{GZIP, Layer, Made, gzip, image, of};
use crate::fake::{Answer, Fake, blob};
use crate::support::{Place, Wish, reason};

/// A file outside that must stay as it is.
struct Outside(PathBuf);

impl Outside {
    fn new(place: &Place) -> Self {
        let path = place.path("outside");
        fs::write(&path, "mine").unwrap();
        Self(path)
    }

    fn assert_unharmed(&self) {
        assert_eq!(fs::read_to_string(&self.0).unwrap(), "mine");
    }
}

async fn refused(layer: Layer, expected: &str) {
    refused_image(&of(layer), Limits::default(), expected).await;
}

async fn refused_image(made: &Made, limits: Limits, expected: &str) {
    let (place, fake) = (Place::new(), Fake::new());
    let outside = Outside::new(&place);
    let mut wish = Wish::of(fake.put("bad", made));
    wish.limits = Limits { keep_free: 0, ..limits };
    let reason = reason(place.wish(wish, |_| ()).await);
    assert!(reason.contains(expected), "{expected}: {reason}");
    assert!(!reason.contains('\n'), "one line: {reason:?}");
    place.assert_no_trace();
    outside.assert_unharmed();
}

#[tokio::test]
async fn names_that_lead_out_are_refused() {
    refused(Layer::new().file("../outside", b"x"), "\"../outside\" is refused: its name leads out of the image").await;
    refused(Layer::new().file("a/../../outside", b"x"), "leads out of the image").await;
    refused(Layer::new().folder("a").link("a/x", "../../outside"), "leads out of the image").await;
    refused(Layer::new().link("x", "etc/shadow"), "a hard link to \"/etc/shadow\", which the layer does not have")
        .await;
    refused(Layer::new().file(".wh...", b""), "it marks nothing as removed").await;
}

#[tokio::test]
async fn attributes_of_overlayfs_and_what_is_no_layer_are_refused() {
    let redirect = Layer::new().attribute("trusted.overlay.redirect", b"/etc").folder("a");
    refused(redirect, "it has attributes of overlayfs itself").await;
    refused(Layer::new().file("a", b"x").file("a/b", b"x"), "what should be its folder is a file").await;
    let nothing = image(vec![b"this is no archive at all".to_vec()], GZIP, json!({}));
    refused_image(&nothing, Limits::default(), "it is damaged or cut off").await;
    let wasm = image(vec![Layer::new().tar()], "application/wasm", json!({}));
    refused_image(&wasm, Limits::default(), "is of the kind \"application/wasm\"").await;
    let tar = Layer::new().file("a", &[7; 4000]).tar();
    let cut = image(vec![gzip(&tar[..1500])], GZIP, json!({}));
    refused_image(&cut, Limits::default(), "it is damaged or cut off").await;
    let half = gzip(&tar);
    let half = image(vec![half[..half.len() / 2].to_vec()], GZIP, json!({}));
    refused_image(&half, Limits::default(), "it is damaged or cut off").await;
}

#[tokio::test]
async fn layers_that_would_fill_the_host_are_refused() {
    // 64 MB of zeros are some kilobytes on the way.
    let bomb = of(Layer::new().file("zeros", &vec![0; 64 << 20]));
    let limits = Limits { layer_bytes: 10 << 20, ..Limits::default() };
    refused_image(&bomb, limits, "with it the layer is larger than 10 MB unpacked").await;
    let mut many = Layer::new();
    for number in 0..2000 {
        many = many.file(&format!("f{number}"), b"");
    }
    let limits = Limits { layer_entries: 1000, ..Limits::default() };
    refused_image(&of(many), limits, "it has more than 1000 files").await;
    let deep = Layer::new().file(&"d/".repeat(45), b"");
    refused_image(&of(deep), Limits { layers: 0, ..Limits::default() }, "it has 1 layers; at most 0 can be used").await;
    let empty = image(vec![gzip(&vec![0_u8; 1 << 20]); 1], GZIP, json!({}));
    let (place, fake) = (Place::new(), Fake::new());
    place.pull(&fake.put("empty", &empty)).await.expect("an empty layer is one");
}

#[tokio::test]
async fn content_that_is_not_what_its_digest_says_is_refused() {
    let (place, fake) = (Place::new(), Fake::new());
    let (good, other) = (of(Layer::new().file("a", b"good")), Layer::new().file("a", b"evil").gzip());
    let name = fake.put("swapped", &good);
    fake.answer(&blob("swapped", &good.layers[0]), Answer::Bytes(other));
    let reason_of = reason(place.pull(&name).await);
    assert!(reason_of.contains("its content has the digest sha256:") || reason_of.contains("bytes"), "{reason_of}");
    place.assert_no_trace();

    let name = fake.put("config", &good);
    fake.answer(&blob("config", &good.config), Answer::Bytes(vec![b'{'; good.config.len()]));
    let reason_of = reason(place.pull(&name).await);
    assert!(reason_of.contains("its configuration"), "{reason_of}");

    let digest = nomadd_oci::Digest::of(b"something else");
    fake.answer(&format!("/v2/config/manifests/{digest}"), Answer::Bytes(good.manifest.clone()));
    let reason_of = reason(place.pull(&format!("{}/config@{digest}", fake.address)).await);
    assert!(reason_of.contains("something else than was asked for"), "{reason_of}");
    place.assert_no_trace();
}

#[tokio::test]
async fn links_devices_and_odd_names_stay_in_the_layer() {
    let (place, fake) = (Place::new(), Fake::new());
    let outside = Outside::new(&place);
    let absolute = outside.0.to_str().unwrap();
    let folder = outside.0.parent().unwrap().to_str().unwrap();
    let layer = Layer::new()
        // A link out, then a file, a removal and a folder through it.
        .symlink("out", folder)
        .folder(&folder[1..])
        .file("out/outside", b"theirs")
        .file("out/.wh.outside", b"")
        .symlink("direct", absolute)
        .file("direct", b"theirs")
        .device("disk", 8, 0)
        .fifo("pipe")
        .file("two\nlines", b"x");
    let manifest = place.pull(&fake.put("odd", &of(layer))).await.unwrap();
    outside.assert_unharmed();
    let layer = place.image(&manifest).directories[0].clone();
    assert_eq!(fs::read_to_string(layer.join("direct")).unwrap(), "theirs");
    assert_eq!(fs::read_to_string(layer.join(&absolute[1..])).unwrap(), "theirs");
    assert!(layer.join("two\nlines").is_file());
}

#[tokio::test]
async fn a_manifest_without_end_ends_the_helper_and_nothing_else() {
    let (place, fake) = (Place::new(), Fake::new());
    fake.answer("/v2/endless/manifests/1", Answer::Endless);
    let reason = reason(place.pull(&format!("{}/endless:1", fake.address)).await);
    assert!(reason.contains("does not fit into the memory that a pull may use"), "{reason}");
    place.assert_no_trace();
}

#[tokio::test]
async fn a_full_disk_ends_a_pull_and_another_one_works_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let options = c"size=6m,mode=0755";
    rustix::mount::mount("tmpfs", &small, "tmpfs", rustix::mount::MountFlags::empty(), Some(options)).unwrap();
    let unmounted = Unmount(small.clone());
    let place = Place::in_store(folder, &small.join("images"));
    let fake = Fake::new();
    let noise: Vec<u8> = (0..8_u64 << 20).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let mut wish = Wish::of(fake.put("large", &of(Layer::new().file("noise", &noise))));
    wish.patience = Duration::from_secs(60);
    let reason = reason(place.wish(wish, |_| ()).await);
    assert!(reason.contains("the disk of the image store is full"), "{reason}");
    place.assert_no_trace();
    place.pull(&fake.put("little", &of(Layer::new().file("a", b"x")))).await.unwrap();
    drop(unmounted);
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}
