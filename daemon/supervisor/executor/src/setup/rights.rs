//! From root to the container's user: the filter, capabilities, user, working directory, in the order that each leaves
//! the rights for the next.

use std::collections::BTreeSet;

use nomadd_executor::container::{
    CAPABILITIES, ContainerSpec, ContainerUser, NewPrivileges, Seccomp, capability_number,
};
use nomadd_executor::report::{Failed, Stage};
use nomadd_executor::spec::Command;

use super::{failed, filter};
use crate::sys::{self, rights as kernel};

/// Becomes the container's user with the container's rights, in the working directory.
pub fn take_user(container: &ContainerSpec, command: &Command) -> Result<(), Failed> {
    let ContainerUser { uid, gid, groups } = &container.user;
    let all = numbers(&container.capabilities)?;
    let ambient = if *uid == 0 { BTreeSet::new() } else { numbers(&container.ambient)? };
    if container.new_privileges == NewPrivileges::Allow {
        // Only root may set a filter that programs with raised rights would run under.
        restrict(container, &all)?;
    }
    for number in (0..CAPABILITIES.len() as u32).filter(|number| !all.contains(number)) {
        kernel::drop_from_bounding(number).map_err(failed(format_args!("drop capability {number}")))?;
    }
    if !ambient.is_empty() {
        kernel::keep_capabilities().map_err(failed("keep capabilities"))?;
    }
    sys::set_user(*uid, *gid, groups)
        .map_err(|error| Failed::system(Stage::User, &error, format_args!("uid {uid}, gid {gid}")))?;
    let bits = |numbers: &BTreeSet<u32>| numbers.iter().fold(0_u64, |bits, number| bits | 1 << number);
    let (permitted, inheritable) = if *uid == 0 { (bits(&all), 0) } else { (bits(&ambient), bits(&ambient)) };
    kernel::set_capabilities(permitted, inheritable).map_err(failed("set capabilities"))?;
    for number in ambient {
        kernel::raise_ambient(number).map_err(failed(format_args!("keep capability {number}")))?;
    }
    std::env::set_current_dir(&command.working_directory)
        .map_err(|error| Failed::path(Stage::WorkingDirectory, &error, &command.working_directory))?;
    sys::set_umask(command.umask);
    if container.new_privileges == NewPrivileges::Deny {
        kernel::no_new_privileges().map_err(failed("give up new privileges"))?;
        restrict(container, &all)?;
    }
    Ok(())
}

fn restrict(container: &ContainerSpec, capabilities: &BTreeSet<u32>) -> Result<(), Failed> {
    match container.seccomp {
        Seccomp::Off => Ok(()),
        Seccomp::Default => kernel::filter(&filter::program(capabilities)).map_err(failed("filter system calls")),
    }
}

fn numbers(names: &BTreeSet<String>) -> Result<BTreeSet<u32>, Failed> {
    let number = |name: &String| {
        capability_number(name).ok_or_else(|| Failed {
            stage: Stage::Container,
            errno: libc::EINVAL,
            what: format!("give the unknown capability {name:?}"),
        })
    };
    names.iter().map(number).collect()
}
