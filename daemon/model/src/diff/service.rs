//! What differs in services and their checks.

use super::object::{block, named_blocks, plain, words};
use super::{Detail, of, task};
use crate::plan::ObjectDiff;
use crate::service::{Service, ServiceCheck};
use crate::spec::ConsulConnect;

/// Services by name and port; a single one is compared with a single one whatever their names.
pub(super) fn services(old: &[Service], new: &[Service], detail: Detail) -> Vec<ObjectDiff> {
    if let ([old], [new]) = (old, new) {
        return service(Some(old), Some(new), detail).into_iter().collect();
    }
    named_blocks(
        old,
        new,
        |service| (service.name.clone(), service.port_label.clone()),
        |old, new| service(old, new, detail),
    )
}

fn service(old: Option<&Service>, new: Option<&Service>, detail: Detail) -> Option<ObjectDiff> {
    let mut objects = Vec::new();
    objects.extend(words(
        "CanaryTags",
        of(old, |service| &service.canary_tags),
        of(new, |service| &service.canary_tags),
        detail,
    ));
    objects.extend(words("Tags", of(old, |service| &service.tags), of(new, |service| &service.tags), detail));
    objects.extend(named_blocks(
        of(old, |service| &service.checks),
        of(new, |service| &service.checks),
        |check| check.name.clone(),
        |old, new| check(old, new, detail),
    ));
    let connect = |service: Option<&Service>| service.and_then(|service| service.connect.clone());
    objects.extend(connect_diff(connect(old).as_ref(), connect(new).as_ref(), detail));
    let identity = |service: Option<&Service>| service.and_then(|service| service.identity.clone());
    objects.extend(task::identity(identity(old).as_ref(), identity(new).as_ref(), detail));
    let weights = |service: Option<&Service>| service.and_then(|service| service.weights.clone());
    objects.extend(plain("Weights", weights(old).as_ref(), weights(new).as_ref(), &[], detail));
    block("Service", old, new, &[], objects, detail)
}

fn check(old: Option<&ServiceCheck>, new: Option<&ServiceCheck>, detail: Detail) -> Option<ObjectDiff> {
    let mut objects = Vec::new();
    objects.extend(words("Args", of(old, |check| &check.args), of(new, |check| &check.args), detail));
    let header = |check: Option<&ServiceCheck>| check.map(|check| check.header.clone()).unwrap_or_default();
    let (old_header, new_header) = (header(old), header(new));
    if old_header != new_header {
        let mut lines = Vec::new();
        let names: std::collections::BTreeSet<_> = old_header.keys().chain(new_header.keys()).collect();
        for name in names {
            let of_name = |header: &std::collections::BTreeMap<String, Vec<String>>| {
                header.get(name).cloned().unwrap_or_default()
            };
            lines.extend(words(name, &of_name(&old_header), &of_name(&new_header), detail));
        }
        let present = |header: &std::collections::BTreeMap<String, Vec<String>>| (!header.is_empty()).then_some(());
        objects.push(ObjectDiff {
            fields: Vec::new(),
            name: "Header".into(),
            objects: lines,
            kind: super::object::Kind::of(present(&old_header).as_ref(), present(&new_header).as_ref()).into(),
        });
    }
    let restart = |check: Option<&ServiceCheck>| check.and_then(|check| check.check_restart.clone());
    objects.extend(plain("CheckRestart", restart(old).as_ref(), restart(new).as_ref(), &[], detail));
    block("Check", old, new, &[], objects, detail)
}

/// Connect is refused at registration; what is shown is that it came, went or changed, and its own fields.
fn connect_diff(old: Option<&ConsulConnect>, new: Option<&ConsulConnect>, detail: Detail) -> Option<ObjectDiff> {
    let sidecar = |connect: Option<&ConsulConnect>| connect.and_then(|connect| connect.sidecar_service.clone());
    let task = |connect: Option<&ConsulConnect>| connect.and_then(|connect| connect.sidecar_task.clone());
    let mut objects = Vec::new();
    objects.extend(block("SidecarService", sidecar(old).as_ref(), sidecar(new).as_ref(), &[], Vec::new(), detail));
    objects.extend(block("SidecarTask", task(old).as_ref(), task(new).as_ref(), &[], Vec::new(), detail));
    block("ConsulConnect", old, new, &[], objects, detail)
}
