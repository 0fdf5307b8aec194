//! The .socket units of systemd that name a port: systemd.socket(5), systemd.unit(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where units of the system are, the first of a name before the others.
const DIRECTORIES: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The units of the system whose files have systemd listen at `local`; whether it does now is not known by that.
pub(crate) fn socket_units(local: SocketAddr) -> BTreeSet<String> {
    units_in(&DIRECTORIES.map(PathBuf::from), local)
}

fn units_in(directories: &[PathBuf], local: SocketAddr) -> BTreeSet<String> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for path in directories.iter().flat_map(|directory| files(directory, ".socket")) {
        let Some(unit) = name(&path) else { continue };
        settings.entry(unit).or_insert_with(|| text(&path));
    }
    // What is dropped in comes after the unit's own file, in the order of the names, whichever directory it is in.
    for (unit, settings) in &mut settings {
        let directories = directories.iter().rev().map(|directory| directory.join(format!("{unit}.d")));
        let parts: BTreeMap<String, PathBuf> = directories
            .flat_map(|directory| files(&directory, ".conf"))
            .filter_map(|path| Some((name(&path)?, path)))
            .collect();
        for path in parts.values() {
            settings.push('\n');
            settings.push_str(&text(path));
        }
    }
    settings.retain(|_, settings| streams(settings).any(|stream| names(stream, local)));
    settings.into_keys().collect()
}

fn files(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| name(path).is_some_and(|name| name.ends_with(suffix)))
        .collect()
}

fn name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The values of ListenStream= that count: an empty one forgets those before it.
fn streams(settings: &str) -> impl Iterator<Item = &str> {
    let values = settings.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "ListenStream").then_some(value.trim())
    });
    let mut kept = Vec::new();
    for value in values {
        match value {
            "" => kept.clear(),
            _ => kept.push(value),
        }
    }
    kept.into_iter()
}

/// Whether a ListenStream= is this address: a port alone is one of the wildcard address.
fn names(stream: &str, local: SocketAddr) -> bool {
    match (stream.parse::<u16>(), stream.parse::<SocketAddr>()) {
        (Ok(port), _) => port == local.port() && local.ip().to_canonical().is_unspecified(),
        (_, Ok(address)) => {
            let ip = |address: SocketAddr| -> IpAddr { address.ip().to_canonical() };
            ip(address) == ip(local) && address.port() == local.port()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_found_by_its_port_its_address_and_what_is_dropped_in() {
        let root = tempfile::tempdir().unwrap();
        let [own, vendor] = ["etc", "lib"].map(|name| root.path().join(name));
        let write = |directory: &Path, file: &str, text: &str| {
            let path = directory.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(&vendor, "ssh.socket", "[Socket]\nListenStream=22\nAccept=no\n");
        write(&own, "ssh.socket.d/port.conf", "[Socket]\nListenStream=\nListenStream = 2222\n");
        write(&vendor, "cups.socket", "[Socket]\nListenStream=/run/cups.sock\nListenStream=127.0.0.1:631\n");
        write(&vendor, "web.socket", "[Socket]\nListenStream=80\n");
        write(&own, "web.socket", "[Socket]\nListenStream=[::1]:8080\n#ListenStream=81\n");
        write(&own, "web.service", "ListenStream=82\n");
        let found = |local: &str| {
            let directories = [own.clone(), vendor.clone()];
            units_in(&directories, local.parse().unwrap()).into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("0.0.0.0:2222"), "ssh.socket");
        assert_eq!(found("[::]:2222"), "ssh.socket");
        assert_eq!(found("127.0.0.1:631"), "cups.socket");
        assert_eq!(found("[::1]:8080"), "web.socket");
        for none in ["0.0.0.0:22", "127.0.0.1:2222", "0.0.0.0:631", "0.0.0.0:80", "0.0.0.0:81", "0.0.0.0:82"]
        {
            assert_eq!(found(none), "", "{none}");
        }
    }
}
