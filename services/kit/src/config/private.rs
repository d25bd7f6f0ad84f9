//! Files and folders that are for their owner alone.

use std::{fs, io::Write, path::Path};

/// Writes a new file that its owner alone can read.
///
/// # Errors
///
/// When the file exists, or cannot be written.
pub fn write_private(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(file)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a folder, and those above it, that its owner alone can enter; one that exists stays as it is.
///
/// # Errors
///
/// When it cannot be made.
pub fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
