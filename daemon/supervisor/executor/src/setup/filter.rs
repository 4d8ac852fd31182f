//! The default filter of system calls as a program for the kernel: what `calls.rs` lists is allowed, a few depend on
//! their arguments, everything else is refused as if it were forbidden, or, being newer than the list, unknown.
//!
//! Straight through the sorted numbers: recent kernels remember which calls are always allowed and do not run it again.

use std::collections::BTreeSet;

use super::calls;

/// Offsets in the kernel's struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const FORBIDDEN: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// A socket of virtual machines' hosts: outside of every network namespace.
const AF_VSOCK: u32 = 40;
/// The execution domains that differ in nothing that matters.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// The namespaces that a clone without rights may not make.
const NAMESPACES: u32 = 0x7e02_0000;

const CAP_SYS_ADMIN: u32 = 21;

fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
}

fn jump(code: u32, value: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | code | libc::BPF_K) as u16, jt: yes, jf: no, k: value }
}

fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn answer(value: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, value)
}

/// The program for a process with these capabilities, by number.
pub fn program(capabilities: &BTreeSet<u32>) -> Vec<libc::sock_filter> {
    let equal = libc::BPF_JEQ;
    let mut program = vec![
        load(ARCHITECTURE),
        jump(equal, NATIVE, 1, 0),
        // Programs of another architecture have other numbers.
        answer(UNKNOWN),
        load(NUMBER),
    ];
    let mut allowed: BTreeSet<u32> = calls::ALWAYS.iter().map(|number| *number as u32).collect();
    let of_capabilities = calls::WITH_CAPABILITY.iter().filter(|(capability, _)| capabilities.contains(capability));
    allowed.extend(of_capabilities.flat_map(|(_, numbers)| numbers.iter()).map(|number| *number as u32));
    if capabilities.contains(&CAP_SYS_ADMIN) {
        allowed.extend([libc::SYS_clone as u32, libc::SYS_clone3 as u32]);
    } else {
        // Its flags cannot be seen from here; the C library then takes clone.
        program.extend([jump(equal, libc::SYS_clone3 as u32, 0, 1), answer(UNKNOWN)]);
        program.extend([
            jump(equal, libc::SYS_clone as u32, 0, 4),
            load(FIRST_ARGUMENT),
            jump(libc::BPF_JSET, NAMESPACES, 0, 1),
            answer(FORBIDDEN),
            answer(ALLOW),
        ]);
    }
    program.extend([
        jump(equal, libc::SYS_socket as u32, 0, 4),
        load(FIRST_ARGUMENT),
        jump(equal, AF_VSOCK, 0, 1),
        answer(FORBIDDEN),
        answer(ALLOW),
    ]);
    program.extend([jump(equal, libc::SYS_personality as u32, 0, PERSONALITIES.len() as u8 + 3), load(FIRST_ARGUMENT)]);
    let last = PERSONALITIES.len() as u8;
    program.extend((0..).zip(PERSONALITIES).map(|(place, value)| jump(equal, value, last - place, 0)));
    program.extend([answer(FORBIDDEN), answer(ALLOW)]);
    let newest = allowed.last().copied().unwrap_or(0);
    for (first, last) in ranges(&allowed) {
        program.extend([jump(libc::BPF_JGE, first, 0, 2), jump(libc::BPF_JGT, last, 1, 0), answer(ALLOW)]);
    }
    program.extend([jump(libc::BPF_JGT, newest, 0, 1), answer(UNKNOWN), answer(FORBIDDEN)]);
    program
}

/// Runs of neighbouring numbers.
fn ranges(numbers: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers to a call, as the kernel would run it.
    fn run(program: &[libc::sock_filter], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut at, mut held) = (0_usize, 0_u32);
        loop {
            let step = &program[at];
            at += 1;
            let code = u32::from(step.code);
            let jump = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
            match code & 0x07 {
                libc::BPF_RET => return step.k,
                libc::BPF_LD => {
                    held = match step.k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        FIRST_ARGUMENT => argument,
                        other => panic!("offset {other}"),
                    }
                }
                _ => {
                    at += match code & 0xf0 {
                        libc::BPF_JEQ => jump(held == step.k),
                        libc::BPF_JGE => jump(held >= step.k),
                        libc::BPF_JGT => jump(held > step.k),
                        libc::BPF_JSET => jump(held & step.k != 0),
                        other => panic!("jump {other}"),
                    }
                }
            }
        }
    }

    #[test]
    fn ordinary_calls_pass_and_those_of_the_host_do_not() {
        let program = program(&BTreeSet::new());
        assert!(program.len() < 4096, "the kernel takes no longer one");
        let ask = |number: libc::c_long, argument| run(&program, NATIVE, number as u32, argument);
        for number in [libc::SYS_read, libc::SYS_execve, libc::SYS_futex, libc::SYS_openat, libc::SYS_exit_group] {
            assert_eq!(ask(number, 0), ALLOW, "{number}");
        }
        for number in [libc::SYS_mount, libc::SYS_unshare, libc::SYS_reboot, libc::SYS_bpf, libc::SYS_setns] {
            assert_eq!(ask(number, 0), FORBIDDEN, "{number}");
        }
        assert_eq!(ask(libc::SYS_clone, libc::SIGCHLD as u32), ALLOW);
        assert_eq!(ask(libc::SYS_clone, libc::CLONE_NEWUSER as u32), FORBIDDEN);
        assert_eq!(ask(libc::SYS_clone3, 0), UNKNOWN);
        assert_eq!((ask(libc::SYS_socket, 2), ask(libc::SYS_socket, AF_VSOCK)), (ALLOW, FORBIDDEN));
        for value in PERSONALITIES {
            assert_eq!(ask(libc::SYS_personality, value), ALLOW, "{value:x}");
        }
        assert_eq!(ask(libc::SYS_personality, 0x40_0000), FORBIDDEN);
        assert_eq!(ask(100_000, 0), UNKNOWN);
        assert_eq!(run(&program, 0x4000_0003, 3, 0), UNKNOWN);
    }

    #[test]
    fn a_capability_brings_its_calls() {
        let program = program(&BTreeSet::from([CAP_SYS_ADMIN]));
        let ask = |number: libc::c_long| run(&program, NATIVE, number as u32, 0x7e00_0000);
        assert_eq!([libc::SYS_mount, libc::SYS_unshare, libc::SYS_clone].map(ask), [ALLOW; 3]);
        assert_eq!(ask(libc::SYS_reboot), FORBIDDEN);
    }
}
