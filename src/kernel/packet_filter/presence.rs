//! Whether this kernel can have packet filters at all, seen without any right, and without loading a module.

use std::fs;
use std::path::Path;

use super::x_tables;

/// What /proc/modules says of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    /// It is built into the kernel, or not there.
    NotListed,
    /// Nothing uses it.
    Idle,
    InUse,
}

fn module(modules: &str, name: &str) -> Module {
    let found = modules.lines().map(|line| line.split_whitespace()).find_map(|mut columns| {
        if columns.next() != Some(name) {
            return None;
        }
        columns.nth(1).map(str::to_owned)
    });
    match found.as_deref() {
        None => Module::NotListed,
        Some("0") => Module::Idle,
        Some(_) => Module::InUse,
    }
}

/// Whether nf_tables may have rules: a socket of its protocol belongs to the kernel itself, and no module of that name is
/// missing or idle.
pub(super) fn may_have_nf_tables() -> bool {
    let sockets = fs::read_to_string("/proc/net/netlink").unwrap_or_default();
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    has_kernel_socket(&sockets) && may_be_used(&modules)
}

/// Whether the kernel listens to nfnetlink in this network namespace: /proc/net/netlink.
fn has_kernel_socket(sockets: &str) -> bool {
    const NETFILTER: &str = "12";
    sockets.lines().any(|line| {
        let columns: Vec<&str> = line.split_whitespace().take(3).collect();
        matches!(columns[..], [_, NETFILTER, "0"])
    })
}

fn may_be_used(modules: &str) -> bool {
    match module(modules, "nf_tables") {
        Module::InUse => true,
        Module::Idle => false,
        // It takes nfnetlink: where that is a module, so is this one, and is not loaded.
        Module::NotListed => module(modules, "nfnetlink") == Module::NotListed,
    }
}

/// Whether iptables-legacy may have rules: its file of names is there, and a table beside the module for them.
pub(super) fn may_have_x_tables(is_ipv6: bool) -> bool {
    if !Path::new(x_tables::list(is_ipv6)).exists() {
        return false;
    }
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    may_have_tables(&modules, is_ipv6)
}

fn may_have_tables(modules: &str, is_ipv6: bool) -> bool {
    let (base, tables) = if is_ipv6 { ("ip6_tables", "ip6table_") } else { ("ip_tables", "iptable_") };
    match module(modules, base) {
        Module::NotListed => true,
        Module::Idle => false,
        Module::InUse => modules.lines().any(|line| line.starts_with(tables)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_not_loaded_or_idle_has_no_rules() {
        let loaded = "nf_tables 372736 38 nft_ct, Live 0x0\nnfnetlink 20480 2 nf_tables, Live 0x0\n";
        assert!(may_be_used(loaded));
        assert!(may_be_used("tcp_diag 16384 0 - Live 0x0\n"), "built in");
        assert!(!may_be_used("nfnetlink 20480 1 nf_conntrack_netlink, Live 0x0\n"));
        assert!(!may_be_used("nf_tables 372736 0 - Live 0x0\nnfnetlink 20480 1 nf_tables, Live 0x0\n"));
    }

    #[test]
    fn tables_of_iptables_are_modules_of_their_own() {
        assert!(may_have_tables("", false), "built in");
        let without = "ip_tables 36864 1 iptable_nat, Live 0x0\n";
        assert!(!may_have_tables("ip_tables 36864 0 - Live 0x0\n", false));
        assert!(!may_have_tables(without, false));
        let with = "iptable_nat 16384 1 - Live 0x0\nip_tables 36864 1 iptable_nat, Live 0x0\n";
        assert!(may_have_tables(with, false) && may_have_tables(with, true));
    }

    #[test]
    fn the_kernel_has_a_socket_of_each_protocol_that_it_serves() {
        let sockets = "sk               Eth Pid        Groups\n000000005ea529d0 12  1428       00000000\n";
        assert!(!has_kernel_socket(sockets));
        assert!(has_kernel_socket(&format!("{sockets}0000000038f879ef 12  0          00000000\n")));
    }
}
