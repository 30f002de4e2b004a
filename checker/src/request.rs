//! Additional request headers and credentials, from arguments and files.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clock::Header;
use probe::secret;

/// Builds the headers from arguments. Errors never contain a value, because it may be a secret.
pub(crate) fn headers(
    texts: &[String],
    bearer: Option<&Path>,
    basic: Option<&Path>,
) -> Result<Vec<Header>, String> {
    let mut headers = texts
        .iter()
        .map(|text| header(text))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(file) = bearer {
        headers.push(authorization(format!("Bearer {}", secret(file)?)));
    }
    if let Some(file) = basic {
        headers.push(authorization(format!(
            "Basic {}",
            STANDARD.encode(secret(file)?)
        )));
    }
    Ok(headers)
}

fn authorization(value: String) -> Header {
    Header {
        name: "Authorization".to_owned(),
        value,
    }
}

fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("cannot read a header: write for example `--header 'X-Key: VALUE'` or `--header 'X-Key: @FILE'`")?;
    probe::header(name, value, Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_from_arguments_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "user:pass\n").unwrap();
        let texts = [
            "X-Key: 1".to_owned(),
            format!("X-Other:@{}", file.display()),
        ];
        let all = headers(&texts, Some(&file), Some(&file)).unwrap();
        let all: Vec<_> = all.iter().map(|it| (&*it.name, &*it.value)).collect();
        let expected = [
            ("X-Key", "1"),
            ("X-Other", "user:pass"),
            ("Authorization", "Bearer user:pass"),
            ("Authorization", "Basic dXNlcjpwYXNz"),
        ];
        assert_eq!(all, expected);
        for wrong in ["X-Key", ": 1", "a b: 1", "X-Key: @/none", "X-Key: a\nb"] {
            let error = headers(&[wrong.to_owned()], None, None).unwrap_err();
            assert!(!error.contains("a\nb"), "{error}");
        }
    }
}
