//! Our certificate: from files, or a new one.

use crate::program::Failure;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use stack::dtls::Certificate;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// So much of a file is read: a certificate that DTLS can carry is far shorter.
const FILE_LEN_MAX: u64 = 64 << 10;

/// The certificate and the private key of these files, each PEM or DER.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<Certificate, Failure> {
    let certificate_der = der::<CertificateDer<'static>>(certificate, "a certificate", |found| found.as_ref().to_vec())?;
    let key_der = der::<PrivateKeyDer<'static>>(key, "a private key", |found| found.secret_der().to_vec())?;
    Certificate::new(&certificate_der, &key_der)
        .map_err(|error| Failure::Usage(format!("{} and {}: {error}", certificate.display(), key.display())))
}

/// The DER in a file, which may be PEM: then the first section of its kind. What else a PEM has, as the curve that openssl writes before a
/// key, is passed over.
fn der<Section: PemObject>(
    path: &Path,
    expected: &str,
    der: impl FnOnce(Section) -> Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let refused = |why: String| Failure::Usage(format!("{}: expected {expected}, got {why}", path.display()));
    // With room for all of it, so that no key is left behind where it was before it grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LEN_MAX as usize + 1));
    let read = File::open(path).and_then(|file| file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(refused(format!("a file of more than {FILE_LEN_MAX} bytes")));
    }
    match Section::from_pem_slice(&bytes) {
        Ok(section) => Ok(Zeroizing::new(der(section))),
        Err(pem::Error::NoItemsFound) if !is_pem(&bytes) => Ok(bytes),
        Err(pem::Error::NoItemsFound) => Err(refused("a PEM without one".to_owned())),
        Err(error) => Err(refused(format!("a PEM that is none: {error}"))),
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    const BEGINS: &[u8] = b"-----BEGIN ";
    bytes.windows(BEGINS.len()).any(|window| window == BEGINS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use stack::dtls::{Fingerprint, FingerprintHash};
    use std::fs;
    use std::path::PathBuf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("glare-certificate-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, bytes).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A certificate and its key, in DER.
    fn identity() -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        (certificate.der().to_vec(), key.serialize_der())
    }

    fn pem(kind: &str, der: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in der.chunks(3) {
            let number = (0..3).fold(0_usize, |number, at| number << 8 | usize::from(*group.get(at).unwrap_or(&0)));
            let digits = [18, 12, 6, 0].map(|shift| char::from(ALPHABET[number >> shift & 63]));
            text.extend(&digits[..=group.len()]);
            text.push_str(&"="[..usize::from(group.len() < 3)].repeat(3 - group.len()));
        }
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
    }

    #[test]
    fn both_kinds_of_files_are_read() {
        let (folder, (certificate, key)) = (Folder::new("kinds"), identity());
        let expected = Fingerprint::of(FingerprintHash::Sha256, &certificate);
        let der = (folder.file("c.der", &certificate), folder.file("k.der", &key));
        // What openssl writes beside: the curve, and text.
        let certificate_pem = format!("subject: nobody\n{}", pem("CERTIFICATE", &certificate));
        let key_pem = format!("{}{}", pem("EC PARAMETERS", &[6, 1, 42]), pem("PRIVATE KEY", &key));
        let pem = (folder.file("c.pem", certificate_pem.as_bytes()), folder.file("k.pem", key_pem.as_bytes()));
        for (certificate, key) in [der, pem] {
            assert_eq!(read(&certificate, &key).unwrap().fingerprint(FingerprintHash::Sha256), expected);
        }
    }

    #[test]
    fn what_is_none_says_what_it_is() {
        let (folder, (certificate, key)) = (Folder::new("none"), identity());
        let good = (folder.file("c.der", &certificate), folder.file("k.der", &key));
        let long = folder.file("long", &vec![0; FILE_LEN_MAX as usize + 1]);
        let other = folder.file("other", pem("PRIVATE KEY", &key).as_bytes());
        let cut = folder.file("cut", b"-----BEGIN CERTIFICATE-----\nAA");
        for (certificate, key, says) in [
            (&folder.0.join("nowhere"), &good.1, "nowhere: expected a certificate, got No such file"),
            (&good.0, &long, "long: expected a private key, got a file of more than 65536 bytes"),
            (&other, &good.1, "other: expected a certificate, got a PEM without one"),
            (&cut, &good.1, "cut: expected a certificate, got a PEM that is none"),
            (&good.0, &good.0, "expected a private key of P-256 or P-384"),
        ] {
            let error = read(certificate, key).unwrap_err();
            assert!(matches!(&error, Failure::Usage(why) if why.contains(says)), "{error}");
        }
    }
}
