//! Address that a program listens on, read from its sources and its Dockerfile. Pure.
//!
//! Each result names its file and line, so that a user can see at once where a guess is wrong.

use std::net::{IpAddr, SocketAddr};

/// Words of lines that listen rather than connect.
const LISTENS: [&str; 6] = ["bind", "listen", "serve", ".run(", "addr", "Addr"];
/// Usual health check paths, the most specific first.
const HEALTH_PATHS: [&str; 7] = [
    "/healthz", "/health", "/readyz", "/livez", "/up", "/ping", "/status",
];

/// Port and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) number: u16,
    /// Source of the port, for users.
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

/// Findings in the sources.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Port that the program listens on.
    pub(super) port: Option<Port>,
    /// `FILE:LINE` of a loopback address.
    pub(super) loopback: Option<String>,
    /// Path that serves health checks.
    pub(super) health_path: Option<String>,
}

/// Searches the sources (name and text of each file). The first address counts.
pub(super) fn listen(sources: &[(String, String)]) -> Found {
    let mut found = Found::default();
    let mut reads_port = None;
    for (file, text) in sources {
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            let place = || format!("{file}:{}", index + 1);
            // The task definition sets PORT, and so does the Dockerfile that `init` writes.
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
    // A program that reads PORT most likely uses it instead of the literal address.
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
    // Port 0 is typical for tests: the kernel chooses a free port.
    found.filter(|(_, port)| *port != 0)
}

/// Returns the first array of four bytes and the text after it.
fn array(line: &str) -> Option<(IpAddr, &str)> {
    line.match_indices('[').find_map(|(start, _)| {
        // The index is on a character boundary: it comes from `match_indices` and `[` is one byte.
        let (inner, rest) = line[start + 1..].split_once(']')?;
        let bytes: Vec<u8> = inner
            .split(',')
            .map(|byte| byte.trim().parse().ok())
            .collect::<Option<_>>()?;
        Some((IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?), rest))
    })
}

/// Returns the address of a standard library constant and the text after it.
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

/// Returns the number after the next comma.
fn port(rest: &str) -> Option<u16> {
    let (between, number) = rest.split_once(',')?;
    // Only the end of a call, such as `)` or `.into()`, may stand between an address and its port.
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
            // Ports of build stages do not matter.
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
