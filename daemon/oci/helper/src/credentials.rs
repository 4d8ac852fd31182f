//! Who we are to a registry: the job's own words, Docker's configuration file, or a program that keeps them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nomadd_oci::Reference;
use nomadd_oci::wire::{Credentials, Secret};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use crate::process::Failure;

/// The longest file or answer, in bytes.
const MOST: u64 = 1 << 20;
/// The user that stands for a token.
const TOKEN: &str = "<token>";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: BTreeMap<String, Login>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Login {
    auth: Secret,
    username: String,
    password: Secret,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    username: String,
    secret: Secret,
}

/// The credentials for an image's registry.
pub fn find(credentials: &Credentials, reference: &Reference) -> Result<RegistryAuth, Failure> {
    let Credentials { own, file, helper, soft_fail } = credentials;
    if let Some((user, Secret(password))) = own {
        return Ok(RegistryAuth::Basic(user.clone(), password.clone()));
    }
    let found = match (file, helper) {
        (Some(file), _) => of_file(file, reference),
        (None, Some(helper)) => of_program(helper, &keys(reference)[0]).map(Some),
        (None, None) => Ok(None),
    };
    match found {
        Ok(found) => Ok(found.unwrap_or(RegistryAuth::Anonymous)),
        Err(_) if *soft_fail => Ok(RegistryAuth::Anonymous),
        Err(reason) => Err(Failure::worthwhile(format!(
            "the credentials for {} cannot be found: {reason}; repair that, or set auth_soft_fail to go on without any",
            reference.registry()
        ))),
    }
}

/// What a registry is called in such files.
fn keys(reference: &Reference) -> Vec<String> {
    let registry = reference.registry();
    match registry {
        "docker.io" => ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "https://index.docker.io/v1"]
            .map(str::to_owned)
            .to_vec(),
        other => {
            vec![other.to_owned(), format!("https://{other}"), format!("https://{other}/"), format!("http://{other}")]
        }
    }
}

fn of_file(path: &Path, reference: &Reference) -> Result<Option<RegistryAuth>, String> {
    let fail = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| fail(&error))?;
    file.take(MOST).read_to_string(&mut text).map_err(|error| fail(&error))?;
    // What serde says of a text that it cannot read may cite it; only the place is told.
    let of_place = |error: serde_json::Error| fail(&format!("line {} is not as Docker writes it", error.line()));
    let config: ConfigFile = serde_json::from_str(&text).map_err(of_place)?;
    let keys = keys(reference);
    if let Some((key, helper)) = keys.iter().find_map(|key| config.cred_helpers.get_key_value(key)) {
        return of_program(helper, key).map(Some);
    }
    if let Some(login) = keys.iter().find_map(|key| config.auths.get(key)) {
        let Login { auth: Secret(auth), username, password: Secret(password) } = login;
        if !username.is_empty() {
            return Ok(Some(RegistryAuth::Basic(username.clone(), password.clone())));
        }
        if !auth.is_empty() {
            let both = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let both = both.as_deref().and_then(|text| text.split_once(':'));
            let (user, password) = both.ok_or_else(|| fail(&"an auth is not base64 of USER:PASSWORD"))?;
            return Ok(Some(RegistryAuth::Basic(user.to_owned(), password.trim_end_matches('\0').to_owned())));
        }
    }
    match config.creds_store.as_str() {
        "" => Ok(None),
        helper => of_program(helper, &keys[0]).map(Some),
    }
}

/// Asks `docker-credential-NAME get`.
fn of_program(name: &str, registry: &str) -> Result<RegistryAuth, String> {
    if name.is_empty() || name.contains('/') {
        return Err(format!("{name:?} is not the name of a credential helper"));
    }
    let program = format!("docker-credential-{name}");
    let fail = |reason: &dyn std::fmt::Display| format!("{program}: {reason}");
    let mut command = Command::new(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| fail(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not listen answers nothing, either.
        drop(stdin.write_all(registry.as_bytes()));
    }
    let mut text = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MOST).read_to_string(&mut text).map_err(|error| fail(&error))?;
    }
    let status = child.wait().map_err(|error| fail(&error))?;
    if !status.success() {
        let words: String = text.trim().chars().take(200).collect();
        return Err(fail(&format!("{status} {words}")));
    }
    let Kept { username, secret: Secret(secret) } =
        serde_json::from_str(&text).map_err(|_| fail(&"its answer has no Username and Secret"))?;
    match username == TOKEN {
        true => Ok(RegistryAuth::Bearer(secret)),
        false => Ok(RegistryAuth::Basic(username, secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, image: &str, expected: Result<RegistryAuth, &str>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let credentials = Credentials { file: Some(file.path().to_owned()), ..Credentials::default() };
        let found = find(&credentials, &Reference::parse(image).unwrap());
        match expected {
            Ok(expected) => assert_eq!(found.unwrap(), expected),
            Err(part) => {
                let Failure { reason, .. } = found.unwrap_err();
                assert!(reason.contains(part) && !reason.contains("hunter2"), "{reason}");
                let soft = Credentials { soft_fail: true, ..credentials };
                assert_eq!(find(&soft, &Reference::parse(image).unwrap()).unwrap(), RegistryAuth::Anonymous);
            }
        }
    }

    #[test]
    fn dockers_file_is_understood_and_its_secrets_are_not_told() {
        let basic = |user: &str, password: &str| Ok(RegistryAuth::Basic(user.to_owned(), password.to_owned()));
        let auth = STANDARD.encode("me:hunter2:x");
        let hub = format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}}}}}}"#);
        check(&hub, "redis", basic("me", "hunter2:x"));
        check(&hub, "ghcr.io/a/b", Ok(RegistryAuth::Anonymous));
        let own = r#"{"auths":{"r.example:5000":{"username":"u","password":"p"}}}"#;
        check(own, "r.example:5000/x", basic("u", "p"));
        check(r#"{"auths":{"r.example":{"auth":"hunter2"}}}"#, "r.example/x", Err("not base64 of USER:PASSWORD"));
        check(r#"{"auths":{"r.example":"hunter2"}}"#, "r.example/x", Err("line 1 is not as Docker writes it"));
        check(r#"{"credsStore":"no-such"}"#, "r.example/x", Err("docker-credential-no-such"));
        check(r#"{"credHelpers":{"r.example":"../x"}}"#, "r.example/x", Err("is not the name of a credential helper"));
    }
}
