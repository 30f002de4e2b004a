//! Folders and files that only their owner can access, regardless of the umask.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// Ensures that the folder exists, belongs to this user, and is not accessible to others.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let user = rustix::process::geteuid().as_raw();
    let folder = fs::metadata(path)?;
    // In a shared folder such as `/tmp`, another user may have created a symbolic link that leads
    // to one of this user's folders.
    let link = fs::symlink_metadata(path)?;
    let stranger = [folder.uid(), link.uid()]
        .into_iter()
        .find(|owner| *owner != user);
    if let Some(owner) = stranger {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("`{}` belongs to another user (uid {owner})", path.display()),
        ));
    }
    if folder.mode() & OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Opens a file with these options, for this user only. A symbolic link is not followed.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = options.mode(0o600).custom_flags(no_link).open(path)?;
    // `mode` applies only to a new file: an existing one may have been readable by others.
    if file.metadata()?.mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Returns whether only this user and root may write to a file, or change the entries of a folder.
/// The group may, if it is the user's own.
pub fn is_own(path: &Path) -> io::Result<bool> {
    let found = fs::metadata(path)?;
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let others = if found.gid() == group { 0o002 } else { 0o022 };
    Ok([0, user].contains(&found.uid()) && found.mode() & others == 0)
}

/// Creates a file, or truncates it.
pub fn create(path: &Path) -> io::Result<File> {
    open(
        path,
        File::options().write(true).create(true).truncate(true),
    )
}

/// Returns the permission bits of a file or folder. A symbolic link is not followed.
pub fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::symlink_metadata(path)?.mode() & 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_the_users_alone() {
        let place = tempfile::tempdir().unwrap();
        let inner = place.path().join("cache/deployer");
        folder(&inner).unwrap();
        assert_eq!(mode(&inner).unwrap(), 0o700);
        assert_eq!(mode(&place.path().join("cache")).unwrap(), 0o700);
        create(&inner.join("file")).unwrap();
        assert_eq!(mode(&inner.join("file")).unwrap(), 0o600);
    }

    #[test]
    fn what_is_open_to_others_is_closed() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "old").unwrap();
        for (path, wide) in [(place.path(), 0o777), (&file, 0o666)] {
            fs::set_permissions(path, Permissions::from_mode(wide)).unwrap();
        }
        folder(place.path()).unwrap();
        assert_eq!(mode(place.path()).unwrap(), 0o700);
        open(&file, File::options().append(true)).unwrap();
        assert_eq!(mode(&file).unwrap(), 0o600);
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    }

    #[test]
    fn a_link_is_not_written_through() {
        let place = tempfile::tempdir().unwrap();
        let victim = place.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        create(&link).unwrap_err();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let place = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(place.path(), Some(65_534), None).unwrap();
            let error = folder(place.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("(uid 65534)"), "{error}");
        } else {
            // Root's, for everybody else.
            let error = folder(Path::new("/usr")).unwrap_err();
            assert!(error.to_string().contains("(uid 0)"), "{error}");
        }
    }
}
