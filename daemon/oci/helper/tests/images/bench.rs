//! Pull and unpack of a large image against skopeo and umoci in the same run; prints, asserts nothing about time.
//! `BENCH_MB=500 cargo test -p nomadd-image --release --test images bench -- --ignored --nocapture`

use std::io::Write as _;
use std::time::Instant;

use serde_json::json;

use crate::build::{self, GZIP, Layer, image};
use crate::pull::Registry;
use crate::support::{Place, run};

#[tokio::test]
#[ignore = "a measurement, of a minute"]
async fn bench_a_large_image() {
    let megabytes: usize = std::env::var("BENCH_MB").map_or(500, |text| text.parse().unwrap());
    let place = Place::new();
    // Half of it can be compressed, as programs can; files of 256 KB in five layers.
    let mut seed = 1_u64;
    let mut file = vec![0_u8; 256 << 10];
    let layers = (0..5).map(|layer| {
        let mut made = Layer::new();
        for number in 0..megabytes * 4 / 5 {
            for (at, byte) in file.iter_mut().enumerate() {
                if at % 8 < 4 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *byte = (seed >> 56) as u8;
                }
            }
            made = made.file(&format!("f{layer}.{number}"), &file);
        }
        made.gzip()
    });
    let made = image(layers.collect(), GZIP, json!({}));
    let layout = build::layout(&place.path("layout"), &made, "1");
    let registry = Registry::new(place.folder.path(), None);
    let name = registry.push(&layout, "1", "large:1");
    let (copied, bundle) = (place.path("copied"), place.path("bundle"));
    let begun = Instant::now();
    let (from, to) = (format!("docker://{name}"), format!("oci:{}:1", copied.display()));
    run("skopeo", &["copy", "--insecure-policy", "--src-tls-verify=false", &from, &to]);
    let skopeo = begun.elapsed();
    run("umoci", &["unpack", "--image", &format!("{}:1", copied.display()), bundle.to_str().unwrap()]);
    let both = begun.elapsed();
    let begun = Instant::now();
    place.pull(&name).await.unwrap();
    let ours = begun.elapsed();
    let mut out = std::io::stdout();
    writeln!(out, "{megabytes} MB: skopeo {skopeo:.2?}, with umoci {both:.2?}; ours {ours:.2?}").unwrap();
}
