//! Certificates made by the `openssl` command, as operators make them: authorities, good ones, and bad ones.
//!
//! In a temporary folder: `NAME.pem` and `NAME.key`. `ca` signs, `other-ca` is an authority nobody trusts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A folder of certificates.
#[derive(Debug)]
pub struct Chains(TempDir);

impl Chains {
    /// Two authorities. `None`, and a printed reason, where there is no `openssl`.
    pub fn new() -> Option<Self> {
        if let Err(error) = Command::new("openssl").arg("version").output() {
            println!("SKIPPED: certificates are made by the openssl command, which is not there: {error}");
            return None;
        }
        let chains = Self(tempfile::tempdir().unwrap());
        for authority in ["ca", "other-ca"] {
            chains.openssl(&[
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -sha256",
                &format!("-subj /CN={authority} -keyout {authority}.key -out {authority}.pem"),
                "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign",
            ]);
        }
        fs::write(chains.path("register.cnf"), REGISTER).unwrap();
        fs::write(chains.path("index.txt"), "").unwrap();
        fs::write(chains.path("index.txt.attr"), "unique_subject = no\n").unwrap();
        Some(chains)
    }

    /// A certificate of `ca` from 2020 to 2099; its common name is `name`.
    pub fn issue(&self, name: &str, extension: &str) {
        self.issue_by("ca", name, ["2020", "2099"], extension);
    }

    /// A certificate of `authority` from one new year to another; only `openssl ca` can set dates that are past.
    pub fn issue_by(&self, authority: &str, name: &str, [from, until]: [&str; 2], extension: &str) {
        fs::write(self.path(&format!("{name}.ext")), extension).unwrap();
        self.openssl(&[
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            &format!("-subj /CN={name} -keyout {name}.key -out {name}.csr"),
        ]);
        self.openssl(&[
            &format!(
                "ca -batch -config register.cnf -cert {authority}.pem -keyfile {authority}.key -create_serial"
            ),
            &format!("-notext -startdate {from}0101000000Z -enddate {until}0101000000Z"),
            &format!("-extfile {name}.ext -in {name}.csr -out {name}.pem"),
        ]);
    }

    /// Puts the certificate and key of `from` in place of those of `to`, each in one step.
    pub fn replace(&self, to: &str, from: &str) {
        for kind in ["pem", "key"] {
            let (new, next) = (self.path(&format!("{from}.{kind}")), self.path("next"));
            fs::copy(new, &next).unwrap();
            fs::rename(next, self.path(&format!("{to}.{kind}"))).unwrap();
        }
    }

    /// Where a file is.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    fn openssl(&self, arguments: &[&str]) {
        let arguments = arguments.join(" ");
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

const REGISTER: &str = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial.txt\nnew_certs_dir=.\n\
                        default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n";
