//! The secrets that a first start in development mode makes.

use std::{fs, path::Path};

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{ConfigError, create_private_folder, write_private};
use crate::secret::Key;

pub(super) const SECRETS_FILE: &str = "development-secrets.json";

/// All of them; none is ever replaced.
#[derive(Deserialize, Serialize)]
pub(super) struct DevelopmentSecrets {
    pub(super) encryption_key: String,
    pub(super) email_digest_key: String,
    pub(super) suite_secret: String,
    pub(super) operator_token: String,
}

impl DevelopmentSecrets {
    pub(super) fn load_or_make(folder: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::DataDir {
            folder: folder.to_owned(),
            source,
        };
        create_private_folder(folder).map_err(failed)?;
        let file = folder.join(SECRETS_FILE);
        if !file.try_exists().map_err(failed)? {
            Self::make().publish(&file).map_err(failed)?;
        }
        let json = fs::read(&file).map_err(failed)?;
        serde_json::from_slice(&json).map_err(|_| ConfigError::Invalid {
            setting: "RAPPORT_DATA_DIR",
            problem: format!(
                "{} is not the file that a first start makes",
                file.display()
            ),
        })
    }

    fn make() -> Self {
        let random = || Key::random().to_text().expose_secret().to_owned();
        Self {
            encryption_key: random(),
            email_digest_key: random(),
            suite_secret: random(),
            operator_token: random(),
        }
    }

    /// Puts the file there whole, unless another process has just done so: its secrets count then.
    fn publish(&self, file: &Path) -> std::io::Result<()> {
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?;
        let draft = file.with_extension(uuid::Uuid::new_v4().simple().to_string());
        write_private(&draft, &json)?;
        let published = match fs::hard_link(&draft, file) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            published => published,
        };
        fs::remove_file(&draft).and(published)
    }
}
