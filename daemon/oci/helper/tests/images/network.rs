//! Registries that ask who we are, break, hang, or lead elsewhere; pulls at the same time.

use std::time::Duration;

use nomadd_oci::{Credentials, Secret};
use serde_json::json;

use crate::build::{GZIP, Layer, Made, image, of};
use crate::fake::{Answer, Fake, blob};
use crate::support::{Place, Wish, reason};

fn large() -> Made {
    let noise: Vec<u8> = (0..3_u64 << 20).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    of(Layer::new().file("noise", &noise))
}

#[tokio::test]
async fn pulls_of_one_layer_at_the_same_time_fetch_it_once() {
    let (place, fake) = (Place::new(), Fake::new());
    let shared = Layer::new().file("shared", &[7; 100_000]).gzip();
    let two = |name: &str| image(vec![shared.clone(), Layer::new().file(name, b"x").gzip()], GZIP, json!({}));
    let (one, other) = (two("one"), two("other"));
    let (first, second) = (fake.put("a", &one), fake.put("a", &other));
    // The second image has the name of the first: by digest both are there.
    let digests = [&one, &other].map(|made| nomadd_oci::Digest::of(&made.manifest));
    let names = digests.map(|digest| format!("{}/a@{digest}", fake.address));
    let pulls = [&names[0], &names[1], &names[0], &first, &second];
    let all = futures_util::future::join_all(pulls.map(|name| place.pull(name))).await;
    for pulled in all {
        place.image(&pulled.unwrap());
    }
    assert_eq!(fake.asked(&blob("a", &shared)), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let (place, fake) = (Place::new(), Fake::new());
    let made = large();
    let name = fake.put("large", &made);
    let path = blob("large", &made.layers[0]);
    fake.answer(&path, Answer::Breaking { bytes: made.layers[0].clone(), after: 100_000, times: 1 });
    place.pull(&name).await.unwrap();
    assert_eq!(fake.asked(&path), 2);
    assert!(
        fake.headers().iter().any(|header| header.eq_ignore_ascii_case("range: bytes=100000-")),
        "{:?}",
        fake.headers()
    );
}

#[tokio::test]
async fn a_registry_that_hangs_or_breaks_for_ever_is_given_up() {
    let (place, fake) = (Place::new(), Fake::new());
    let made = large();
    let pull = |name: String| {
        let mut wish = Wish::of(name);
        wish.patience = Duration::from_millis(700);
        place.wish(wish, |_| ())
    };
    let name = fake.put("hanging", &made);
    fake.answer("/v2/hanging/manifests/1", Answer::Hanging(100));
    let said = reason(pull(name).await);
    assert!(said.contains("does not answer"), "{said}");
    let name = fake.put("dropping", &made);
    let broken = Answer::Breaking { bytes: made.layers[0].clone(), after: 0, times: usize::MAX };
    fake.answer(&blob("dropping", &made.layers[0]), broken);
    let said = reason(pull(name).await);
    assert!(said.contains("its layer sha256:"), "{said}");
    place.assert_no_trace();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = reason(pull(format!("{nobody}/x:1")).await);
    assert!(said.contains("cannot be reached"), "{said}");
}

#[tokio::test]
async fn blobs_may_lie_elsewhere_but_secrets_do_not_go_there_and_circles_end() {
    let (place, fake, elsewhere) = (Place::new(), Fake::new(), Fake::new());
    let made = large();
    let name = fake.put("there", &made);
    for bytes in [&made.layers[0], &made.config] {
        elsewhere.answer("/blob", Answer::Bytes(bytes.clone()));
        let path = format!("/blob/{}", nomadd_oci::Digest::of(bytes));
        elsewhere.answer(&path, Answer::Bytes(bytes.clone()));
        // Another name of the same host is another host.
        let to = format!("http://localhost:{}{path}", elsewhere.address.port());
        fake.answer(&blob("there", bytes), Answer::Redirect(to));
    }
    let header = "authorization: Basic bWU6aHVudGVyMg==".to_owned();
    let challenge = "Basic realm=\"x\"".to_owned();
    fake.answer("/v2/", Answer::Guarded { header, challenge, bytes: Vec::new() });
    let mut wish = Wish::of(&name);
    wish.credentials = Credentials { own: Some(("me".into(), Secret("hunter2".into()))), ..Credentials::default() };
    place.wish(wish, |_| ()).await.unwrap();
    assert!(fake.headers().iter().any(|header| header.to_ascii_lowercase().starts_with("authorization: basic")));
    assert!(elsewhere.asked(&format!("/blob/{}", nomadd_oci::Digest::of(&made.layers[0]))) > 0);
    let strangers = elsewhere.headers();
    assert!(!strangers.iter().any(|header| header.to_ascii_lowercase().starts_with("authorization")), "{strangers:?}");

    let place = Place::new();
    let name = fake.put("circle", &made);
    fake.answer("/v2/", Answer::Bytes(b"{}".to_vec()));
    fake.answer("/v2/circle/manifests/1", Answer::Redirect("/v2/circle/manifests/1".into()));
    let said = reason(place.pull(&name).await);
    assert!(said.contains("leads elsewhere without end"), "{said}");
}

#[tokio::test]
async fn a_private_image_needs_the_right_password_which_nobody_is_told() {
    let (place, fake) = (Place::new(), Fake::new());
    let made = of(Layer::new().file("a", b"x"));
    let name = fake.put("private", &made);
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"r\"", fake.address);
    fake.answer(
        "/token?scope=repository%3Aprivate%3Apull&service=r",
        Answer::Guarded {
            header: "authorization: Basic bWU6aHVudGVyMg==".into(),
            challenge: "Basic".into(),
            bytes: br#"{"token":"abc"}"#.to_vec(),
        },
    );
    let guarded = |bytes: Vec<u8>| Answer::Guarded {
        header: "authorization: Bearer abc".into(),
        challenge: challenge.clone(),
        bytes,
    };
    fake.answer("/v2/", guarded(b"{}".to_vec()));
    fake.answer("/v2/private/manifests/1", guarded(made.manifest.clone()));
    for bytes in [&made.layers[0], &made.config] {
        fake.answer(&blob("private", bytes), guarded(bytes.clone()));
    }
    let pull = |password: Option<&str>| {
        let mut wish = Wish::of(&name);
        let own = password.map(|password| ("me".to_owned(), Secret(password.to_owned())));
        wish.credentials = Credentials { own, ..Credentials::default() };
        place.wish(wish, |_| ())
    };
    for password in [None, Some("letmein")] {
        let said = reason(pull(password).await);
        assert!(said.contains("user and password are missing or wrong") && !said.contains("letmein"), "{said}");
    }
    pull(Some("hunter2")).await.unwrap();
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_any_more_ends_and_leaves_nothing() {
    let (place, fake) = (Place::new(), Fake::new());
    let made = large();
    let name = fake.put("slow", &made);
    let path = blob("slow", &made.layers[0]);
    fake.answer(&path, Answer::Hanging(made.layers[0].len()));
    let pull = place.pull(&name);
    let asked = async {
        while fake.asked(&path) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = pull => panic!("it does not end by itself"),
        () = asked => {}
    }
    // The helper is gone when the store is nobody's.
    let begun = std::time::Instant::now();
    let policy = nomadd_oci::store::Policy::default();
    while place.store.collect(&policy, std::time::SystemTime::now()).unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the helper does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    place.assert_no_trace();
}
