//! Keeps files that are sent with a token. It needs a configuration file, a secret and a writable folder, listens on
//! a port of its own, and knows nothing of the time or of `/health`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::{env, fs, io, thread};

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().nth(1).as_deref() == Some("migrate") {
        return migrate();
    }
    let settings = fs::read_to_string("/etc/keeper.conf")?;
    let folder = settings::setting(&settings, "folder").ok_or("no folder is set")?;
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder)?;
    let token = env::var("TOKEN").map_err(|_| "TOKEN is not set")?;
    let greeting = env::var("GREETING")?;
    for stream in TcpListener::bind("0.0.0.0:5000")?.incoming() {
        let (folder, token, greeting) = (folder.clone(), token.clone(), greeting.clone());
        thread::spawn(move || answer(&stream?, &folder, &token, &greeting));
    }
    Ok(())
}

/// Does what has to be done before a new version starts.
fn migrate() -> Result<(), Box<dyn Error>> {
    env::var("TOKEN").map_err(|_| "TOKEN is not set")?;
    if env::var("GREETING")? == "too early" {
        return Err("no such table: greetings".into());
    }
    println!("the greetings are in place");
    Ok(())
}

fn answer(stream: &TcpStream, folder: &Path, token: &str, greeting: &str) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok());
    let mut body = Vec::new();
    reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;
    let mut words = request.split_whitespace();
    let method = words.next().unwrap_or_default();
    let name = words.next().unwrap_or_default().trim_start_matches('/');
    let is_plain = !name.contains(['/', '.']);
    let (status, body) = match method {
        "GET" if name.is_empty() => (200, greeting.as_bytes().to_vec()),
        "GET" if is_plain => match fs::read(folder.join(name)) {
            Ok(kept) => (200, kept),
            Err(_) => (404, Vec::new()),
        },
        "PUT" if is_plain && headers.get("authorization").is_some_and(|it| it == token) => {
            fs::write(folder.join(name), body)?;
            (201, Vec::new())
        }
        _ => (403, Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}
