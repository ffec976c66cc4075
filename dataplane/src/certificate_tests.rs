//! Tests of key pairs: what is taken, what is refused, and that a refused one changes nothing.

use super::*;

fn pair(name: &str) -> (Vec<u8>, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    (
        certificate.pem().into_bytes(),
        key.serialize_pem().into_bytes(),
    )
}

fn folder() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("weir-certificate-{}-{number}", std::process::id()))
}

#[test]
fn a_pair_is_checked_before_it_serves() {
    let (chain, key) = pair("one.example");
    let (other_chain, other_key) = pair("two.example");
    let parsed = ServingKey::parse(&chain, &key).unwrap();
    assert!(parsed.fingerprint().starts_with("sha256:"));
    assert_eq!(parsed.fingerprint().len(), 71);
    assert!(matches!(
        ServingKey::parse(&chain, &other_key),
        Err(CertificateFault::KeyMismatch)
    ));
    assert!(matches!(
        ServingKey::parse(&other_chain, &key),
        Err(CertificateFault::KeyMismatch)
    ));
    assert!(matches!(
        ServingKey::parse(b"nothing", &key),
        Err(CertificateFault::CertificateEncoding)
    ));
    assert!(matches!(
        ServingKey::parse(&chain, b"nothing"),
        Err(CertificateFault::KeyEncoding)
    ));
}

#[test]
fn an_expired_certificate_is_refused() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["old.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let chain = params.self_signed(&key).unwrap().pem();
    let outcome = ServingKey::parse(chain.as_bytes(), key.serialize_pem().as_bytes());
    assert!(matches!(outcome, Err(CertificateFault::Expired)));
}

#[test]
fn a_bad_change_keeps_what_is_served() {
    let folder = folder();
    std::fs::create_dir_all(&folder).unwrap();
    let (chain_path, key_path) = (folder.join("c"), folder.join("k"));
    let (chain, key) = pair("one.example");
    std::fs::write(&chain_path, &chain).unwrap();
    std::fs::write(&key_path, &key).unwrap();
    let mut files = CertificateFiles::new(&chain_path, &key_path);
    let store = CertificateStore::new(files.changed().unwrap().unwrap());
    let first = store.current().fingerprint().to_owned();
    assert!(files.changed().unwrap().is_none());
    let (other_chain, other_key) = pair("two.example");
    std::fs::write(&chain_path, &other_chain).unwrap();
    assert!(matches!(
        files.changed(),
        Err(CertificateFault::KeyMismatch)
    ));
    // The same fault is not told twice, and what was served goes on.
    assert!(files.changed().unwrap().is_none());
    assert_eq!(store.current().fingerprint(), first);
    std::fs::write(&key_path, &other_key).unwrap();
    store.replace(files.changed().unwrap().unwrap());
    assert_ne!(store.current().fingerprint(), first);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_self_signed_pair_is_kept() {
    let folder = folder();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = self_signed(&folder, &names).unwrap();
    let kept = self_signed(&folder, &names).unwrap();
    assert_eq!(made.fingerprint(), kept.fingerprint());
    assert!(!made.ends_within(SELF_SIGNED_RENEWAL));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(folder.join("tls.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_dir_all(&folder).unwrap();
}
