//! Which capabilities a container gets: the usual ones, what the job adds and drops, within what the operator allows.

use std::collections::BTreeSet;

use nomadd_supervisor::container::{CAPABILITIES, DEFAULT_CAPABILITIES, capability_name};

/// Every capability there is.
const EVERY: &str = "all";

/// What operators allow where they say nothing: what containers usually have.
pub fn usually_allowed() -> BTreeSet<&'static str> {
    DEFAULT_CAPABILITIES.into()
}

/// Every capability, as the kernel calls them.
pub fn every() -> BTreeSet<String> {
    CAPABILITIES.map(str::to_owned).into()
}

/// Full names of capabilities in any form; `all` is each of them. A clause when one is none.
pub fn read(names: &[String]) -> Result<BTreeSet<&'static str>, String> {
    let mut found = BTreeSet::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        match name.eq_ignore_ascii_case(EVERY) {
            true => found.extend(CAPABILITIES),
            false => {
                found.insert(capability_name(name).ok_or_else(|| format!("holds {name:?}, which is no capability"))?);
            }
        }
    }
    Ok(found)
}

/// The capabilities of a container; a clause when the job wants what it may not have.
pub fn choose(allow: &BTreeSet<&'static str>, add: &[String], drop: &[String]) -> Result<BTreeSet<String>, String> {
    let (add, dropped) = (read(add)?, read(drop)?);
    let everything = drop.iter().any(|name| name.eq_ignore_ascii_case(EVERY));
    // Without `all` a capability that is both added and dropped is dropped, as Docker has it.
    let is_dropped = |name: &&'static str| !everything && dropped.contains(name);
    let usual = DEFAULT_CAPABILITIES.into_iter().filter(|name| allow.contains(name) && !dropped.contains(name));
    let mut chosen: BTreeSet<&str> = usual.collect();
    let wanted: BTreeSet<&str> = add.into_iter().filter(|name| !is_dropped(name)).collect();
    let refused: Vec<&str> = wanted.iter().copied().filter(|name| !allow.contains(name)).collect();
    if !refused.is_empty() {
        return Err(format!("asks for {}, which the agent's allow_caps does not hold", refused.join(", ")));
    }
    chosen.extend(wanted);
    Ok(chosen.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gets_what_it_wants_within_what_is_allowed() {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let choose =
            |allow: &BTreeSet<&'static str>, add: &[&str], drop: &[&str]| choose(allow, &texts(add), &texts(drop));
        let allow = usually_allowed();
        let usual = choose(&allow, &[], &[]).unwrap();
        assert!(usual.contains("CAP_CHOWN") && !usual.contains("CAP_NET_RAW") && usual.len() == 13);
        assert_eq!(choose(&allow, &["kill"], &["all"]).unwrap(), BTreeSet::from(["CAP_KILL".to_owned()]));
        assert!(!choose(&allow, &[], &["CAP_MKNOD"]).unwrap().contains("CAP_MKNOD"));
        let all = read(&texts(&["ALL"])).unwrap();
        let most = choose(&all, &["all"], &["sys_admin"]).unwrap();
        assert!(!most.contains("CAP_SYS_ADMIN") && most.contains("CAP_NET_RAW"));
        let refused = choose(&allow, &["sys_admin", "net_raw"], &[]).unwrap_err();
        assert_eq!(refused, "asks for CAP_NET_RAW, CAP_SYS_ADMIN, which the agent's allow_caps does not hold");
        assert_eq!(choose(&allow, &["nett"], &[]).unwrap_err(), "holds \"nett\", which is no capability");
    }
}
