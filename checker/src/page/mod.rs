//! `checker report`: renders a log as one self-contained page without scripts.

mod buckets;
mod chart;
mod escape;
mod html;
mod scale;
mod svg;

use std::io::{self, Write as _};
use std::path::Path;

use crate::cli::Page;
use crate::exit::Exit;
use crate::judge::{Limits, left_out};
use crate::log;
use crate::output::{line, trouble};
use chart::Charts;

pub(crate) fn run(page: &Page) -> Exit {
    let limits = Limits {
        max_skew: page.max_skew,
        ..Limits::default()
    };
    let charts = match collect(&page.file, limits) {
        Ok(charts) => charts,
        Err(detail) => return trouble("cannot draw", &detail),
    };
    if charts.checks() == 0 {
        return trouble(
            "nothing to draw",
            &format!("{} is empty", page.file.display()),
        );
    }
    // Checked before writing, because the page replaces its file.
    if is_same(&page.file, &page.output) {
        return trouble("cannot write", "the page would replace the log itself");
    }
    let text = html::page(&charts, page.slo);
    if let Err(error) = write(&page.output, &text) {
        let what = format!("cannot write {}", page.output.display());
        return trouble(&what, &probe::detail(&error));
    }
    let targets = match charts.targets().len() {
        1 => "1 target".to_owned(),
        several => format!("{several} targets"),
    };
    let said = line(&format!(
        "{}: {targets}, {} checks",
        page.output.display(),
        charts.checks()
    ));
    match said {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            trouble("cannot write", &probe::detail(&error))
        }
        // The page is written, whether or not anything reads this message.
        Ok(()) | Err(_) => Exit::Ok,
    }
}

fn collect(path: &Path, limits: Limits) -> Result<Charts, String> {
    let mut charts = Charts::new(limits);
    for logged in log::read(path, left_out)? {
        charts.add(&logged?);
    }
    Ok(charts)
}

fn is_same(log: &Path, page: &Path) -> bool {
    // Resolved, because one path may be a symbolic link to the other.
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(log).is_some_and(|log| Some(log) == real(page))
}

/// Writes the page atomically, so that a reader of the old page never sees half of the new one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    if std::fs::metadata(path).is_ok_and(|known| !known.is_file()) {
        // A pipe, a terminal or /dev/null cannot be replaced by a renamed file.
        return std::fs::write(path, text);
    }
    // In the same folder, because a rename does not cross file systems.
    let mut file = tempfile::Builder::new()
        .prefix(".report-")
        .permissions(mode())
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Returns the usual file mode, reduced by the umask. A temporary file would be readable by its
/// owner alone.
fn mode() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o666)
}
