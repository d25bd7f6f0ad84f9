//! Certificates for tests, made by OpenSSL, which shares no code with us.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use uuid::Uuid;

use crate::tls::{CertificateFiles, TlsFiles};

/// A certificate authority that nobody else trusts; its files go with this value.
pub struct TestAuthority {
    folder: PathBuf,
}

impl TestAuthority {
    /// Makes one.
    ///
    /// # Panics
    ///
    /// When OpenSSL is missing.
    #[expect(clippy::new_without_default, reason = "it makes files")]
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("rapport-authority-{}", Uuid::new_v4()));
        fs::create_dir(&folder).expect("there is a folder for temporary files");
        let authority = Self { folder };
        let own = authority.own();
        make(&own, &["-addext", "basicConstraints=critical,CA:TRUE"]);
        authority
    }

    /// Makes a certificate of `localhost` and 127.0.0.1 that has these names too, as `URI:rapport:suite`.
    ///
    /// # Panics
    ///
    /// When OpenSSL refuses to.
    pub fn issue(&self, names: &[&str]) -> CertificateFiles {
        let own = self.own();
        let files = self.files(&Uuid::new_v4().to_string());
        let names = [&["DNS:localhost", "IP:127.0.0.1"], names].concat();
        let names = format!("subjectAltName={}", names.join(","));
        let mut arguments = vec!["-CA", text(&own.chain), "-CAkey", text(&own.key)];
        arguments.extend(["-addext", "basicConstraints=critical,CA:FALSE"]);
        arguments.extend(["-addext", &names]);
        make(&files, &arguments);
        files
    }

    /// Returns what a process is told that trusts this authority and has `certificate`.
    pub fn trusted_by(&self, certificate: Option<CertificateFiles>) -> TlsFiles {
        TlsFiles {
            authority: self.own().chain,
            certificate,
        }
    }

    fn own(&self) -> CertificateFiles {
        self.files("authority")
    }

    fn files(&self, name: &str) -> CertificateFiles {
        CertificateFiles {
            chain: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}.key")),
        }
    }
}

impl Drop for TestAuthority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn make(files: &CertificateFiles, arguments: &[&str]) {
    let request = "req -x509 -config /dev/null -subj /CN=Test -days 1 -nodes -newkey ec -pkeyopt \
                   ec_paramgen_curve:prime256v1";
    let made = Command::new("openssl")
        .args(request.split_whitespace())
        .arg("-keyout")
        .arg(&files.key)
        .arg("-out")
        .arg(&files.chain)
        .args(arguments)
        .output()
        .expect("OpenSSL is installed: scripts/setup says how");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder's name is UTF-8")
}
