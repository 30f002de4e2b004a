//! Where a program listens, as far as its sources and its Dockerfile say it. Pure.
//!
//! Nothing is guessed that the result does not name with its file and line, so that a person sees
//! at once where it is wrong.

use std::net::{IpAddr, SocketAddr};

/// Words of lines that listen, rather than connect.
const LISTENS: [&str; 6] = ["bind", "listen", "serve", ".run(", "addr", "Addr"];
/// Paths that services answer to be checked, the most telling first.
const HEALTH_PATHS: [&str; 7] = [
    "/healthz", "/health", "/readyz", "/livez", "/up", "/ping", "/status",
];

/// A port, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) number: u16,
    /// For people.
    pub(super) from: String,
}

impl Port {
    pub(super) fn new(number: u16, from: &str) -> Self {
        Self {
            number,
            from: from.to_owned(),
        }
    }
}

/// What the sources say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Port that the program listens on.
    pub(super) port: Option<Port>,
    /// `FILE:LINE` of an address that only this machine reaches.
    pub(super) loopback: Option<String>,
    /// A path that is there to be checked.
    pub(super) health_path: Option<String>,
}

/// Searches the sources: name and text of each file. The first address counts.
pub(super) fn listen(sources: &[(String, String)]) -> Found {
    let mut found = Found::default();
    let mut reads_port = None;
    for (file, text) in sources {
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            let place = || format!("{file}:{}", index + 1);
            // Given by the task definition, and by the Dockerfile that is written.
            if line.contains("\"PORT\"") && reads_port.is_none() {
                reads_port = Some(Port::new(8080, &format!("the variable PORT, {}", place())));
            }
            let listens = LISTENS.iter().any(|word| line.contains(word));
            if let Some((address, port)) = address(line).filter(|_| listens)
                && found.port.is_none()
            {
                found.port = Some(Port::new(port, &place()));
                found.loopback = address.is_loopback().then(place);
            }
        }
    }
    let has = |path: &&&str| {
        let quoted = format!("\"{path}\"");
        sources.iter().any(|(_, text)| text.contains(&quoted))
    };
    found.health_path = HEALTH_PATHS.iter().find(has).map(|path| (*path).to_owned());
    found.port = reads_port.or(found.port);
    found
}

/// Returns the address in a line of Rust: `"0.0.0.0:3000"`, `([0, 0, 0, 0], 3000)`, `("0.0.0.0", 3000)` or
/// `(Ipv4Addr::UNSPECIFIED, 3000)`.
fn address(line: &str) -> Option<(IpAddr, u16)> {
    let literals = line.split('"').skip(1).step_by(2);
    let whole = literals.clone().find_map(|literal| {
        let literal = literal.replace("localhost:", "127.0.0.1:");
        literal.parse::<SocketAddr>().ok()
    });
    let found = whole.map(|it| (it.ip(), it.port())).or_else(|| {
        let literal = literals.clone().find_map(|literal| {
            let address = literal.replace("localhost", "127.0.0.1").parse().ok()?;
            Some((address, line.split_once(&format!("\"{literal}\""))?.1))
        });
        let (address, rest) = literal.or_else(|| array(line)).or_else(|| constant(line))?;
        Some((address, port(rest)?))
    });
    // A test's, which may have any.
    found.filter(|(_, port)| *port != 0)
}

/// Returns the first array of four bytes, and what follows.
fn array(line: &str) -> Option<(IpAddr, &str)> {
    line.match_indices('[').find_map(|(start, _)| {
        let (inner, rest) = line[start + 1..].split_once(']')?;
        let bytes: Vec<u8> = inner
            .split(',')
            .map(|byte| byte.trim().parse().ok())
            .collect::<Option<_>>()?;
        Some((IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?), rest))
    })
}

/// Returns the address that a constant of the standard library names, and what follows.
fn constant(line: &str) -> Option<(IpAddr, &str)> {
    let named = [
        ("Addr::UNSPECIFIED", [0, 0, 0, 0]),
        ("Addr::LOCALHOST", [127, 0, 0, 1]),
    ];
    named.into_iter().find_map(|(name, bytes)| {
        let (_, rest) = line.split_once(name)?;
        Some((IpAddr::from(bytes), rest))
    })
}

/// Returns the number behind the next comma.
fn port(rest: &str) -> Option<u16> {
    let (between, number) = rest.split_once(',')?;
    if between.contains(|letter: char| {
        !matches!(letter, ')' | '(' | '.' | ' ') && !letter.is_ascii_lowercase()
    }) {
        return None;
    }
    let digits: String = number
        .trim_start()
        .chars()
        .take_while(|letter| letter.is_ascii_digit() || *letter == '_')
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

/// Returns the first TCP port that the last stage of a Dockerfile exposes.
pub(super) fn exposed(dockerfile: &str) -> Option<u16> {
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(ToOwned::to_owned).collect() };
    let mut found = None;
    for line in dockerfile.lines().map(words) {
        match line.split_first() {
            Some((keyword, _)) if keyword.eq_ignore_ascii_case("FROM") => found = None,
            Some((keyword, ports)) if keyword.eq_ignore_ascii_case("EXPOSE") => {
                let tcp = ports.iter().map(|port| port.trim_end_matches("/tcp"));
                found = found.or(tcp
                    .filter_map(|port| port.parse().ok())
                    .find(|port| *port != 0));
            }
            Some(_) | None => {}
        }
    }
    found
}
