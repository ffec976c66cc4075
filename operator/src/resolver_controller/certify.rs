//! Decides which certificates a resolver should have: for its listeners and for its admin ports.
//!
//! Pure but for the making of keys. What exists and is still good is kept. Owns validity and
//! renewal; never reads or stores a Secret.

use k8s_openapi::api::core::v1::Secret;
use weir_config::push::PushCertificate;
use weir_config::unit::instant::UnixSeconds;

use crate::authority::{Authority, AuthorityFault, KeyPairPem, Request, Usage};
use crate::certificate::{CertificateFault, ServingCertificate};
use crate::naming;
use crate::resolver_controller::dereference::Dereferenced;
use crate::resolver_controller::validate::{CertificateSource, ValidatedResolver};
use crate::secret::text_of;

/// How long a certificate of a listener is valid.
const SERVING_DAYS: u64 = 90;
/// How long a certificate of an admin port is valid; pods are replaced when it is renewed.
const ADMIN_DAYS: u64 = 730;

/// The certificates that a resolver should have.
#[derive(Debug, Clone)]
pub struct Certified {
    /// That of its listeners: none when no listener speaks TLS.
    pub serving: Option<Result<ServingCertificate, CertificateFault>>,
    /// Its own authority, with the certificate that it signed last, when the operator signs.
    pub own: Option<OwnAuthority>,
    /// That of its admin ports.
    pub admin: KeyPairPem,
}

/// A resolver's own authority.
#[derive(Debug, Clone)]
pub struct OwnAuthority {
    /// The authority.
    pub authority: KeyPairPem,
    /// The certificate that it signed last.
    pub issued: KeyPairPem,
}

/// Decides which certificates a resolver should have.
///
/// # Errors
/// When no key can be made.
pub fn certify(
    resolver: &ValidatedResolver,
    found: &Dereferenced,
    admin_authority: &Authority,
    now: UnixSeconds,
) -> Result<Certified, AuthorityFault> {
    let admin = admin(resolver, found, admin_authority, now)?;
    match &resolver.certificate {
        None => Ok(Certified {
            serving: None,
            own: None,
            admin,
        }),
        Some(CertificateSource::Secret(name)) => {
            let serving = from_secret(name, found.named_secret.as_ref(), resolver, now);
            Ok(Certified {
                serving: Some(serving),
                own: None,
                admin,
            })
        }
        Some(CertificateSource::SelfSigned) => {
            let own = self_signed(resolver, found.authority.as_ref(), now)?;
            let serving = parse(&own.issued, &resolver.hostnames, now);
            Ok(Certified {
                serving: Some(serving),
                own: Some(own),
                admin,
            })
        }
    }
}

/// Every name that clients inside the cluster may use for the Service, and those of the spec.
#[must_use]
pub fn serving_names(resolver: &ValidatedResolver) -> Vec<String> {
    let (name, namespace) = (&resolver.name, &resolver.namespace);
    let mut names = vec![
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}.svc.cluster.local"),
        format!("{name}.{namespace}"),
        name.clone(),
    ];
    names.extend(resolver.hostnames.iter().cloned());
    names
}

fn from_secret(
    name: &str,
    secret: Option<&Secret>,
    resolver: &ValidatedResolver,
    now: UnixSeconds,
) -> Result<ServingCertificate, CertificateFault> {
    let secret = secret.ok_or_else(|| CertificateFault::SecretNotFound(name.to_owned()))?;
    let field = |field: &'static str| {
        text_of(secret, field)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| CertificateFault::SecretIncomplete {
                secret: name.to_owned(),
                field,
            })
    };
    let pem = PushCertificate {
        chain_pem: field(naming::CERTIFICATE_FILE)?,
        key_pem: field(naming::KEY_FILE)?,
    };
    ServingCertificate::parse(pem, &resolver.hostnames, now).map_err(|fault| {
        CertificateFault::InSecret {
            secret: name.to_owned(),
            fault: Box::new(fault),
        }
    })
}

fn parse(
    pair: &KeyPairPem,
    hostnames: &[String],
    now: UnixSeconds,
) -> Result<ServingCertificate, CertificateFault> {
    let pem = PushCertificate {
        chain_pem: pair.certificate.clone(),
        key_pem: pair.key.clone(),
    };
    ServingCertificate::parse(pem, hostnames, now)
}

fn self_signed(
    resolver: &ValidatedResolver,
    stored: Option<&Secret>,
    now: UnixSeconds,
) -> Result<OwnAuthority, AuthorityFault> {
    let names = serving_names(resolver);
    let known = stored
        .and_then(|secret| pair(secret, naming::CA_FILE, naming::CA_KEY_FILE))
        .filter(|pair| fresh(pair, &[], now))
        .and_then(|pair| Authority::from_pem(pair).ok());
    if let Some(authority) = &known {
        let issued = stored
            .and_then(|secret| pair(secret, naming::CERTIFICATE_FILE, naming::KEY_FILE))
            .filter(|pair| fresh(pair, &names, now));
        if let Some(issued) = issued {
            return Ok(OwnAuthority {
                authority: authority.pem().clone(),
                issued,
            });
        }
    }
    let authority = match known {
        Some(authority) => authority,
        None => {
            let title = format!("Weir {}/{}", resolver.namespace, resolver.name);
            Authority::generate(&title, now)?
        }
    };
    let request = Request {
        common_name: format!("{}.{}.svc", resolver.name, resolver.namespace),
        names,
        usage: Usage::Server,
        days: SERVING_DAYS,
    };
    let issued = authority.issue(&request, now)?;
    Ok(OwnAuthority {
        authority: authority.pem().clone(),
        issued,
    })
}

fn admin(
    resolver: &ValidatedResolver,
    found: &Dereferenced,
    authority: &Authority,
    now: UnixSeconds,
) -> Result<KeyPairPem, AuthorityFault> {
    let name = naming::admin_server_name(&resolver.namespace, &resolver.name);
    let ours = |secret: &&Secret| {
        text_of(secret, naming::CA_FILE).as_ref() == Some(&authority.pem().certificate)
    };
    let known = found
        .admin
        .as_ref()
        .filter(ours)
        .and_then(|secret| pair(secret, naming::CERTIFICATE_FILE, naming::KEY_FILE))
        .filter(|pair| fresh(pair, std::slice::from_ref(&name), now));
    if let Some(known) = known {
        return Ok(known);
    }
    let request = Request {
        common_name: resolver.name.clone(),
        names: vec![name],
        usage: Usage::Server,
        days: ADMIN_DAYS,
    };
    authority.issue(&request, now)
}

fn pair(secret: &Secret, certificate: &str, key: &str) -> Option<KeyPairPem> {
    Some(KeyPairPem {
        certificate: text_of(secret, certificate)?,
        key: text_of(secret, key)?,
    })
}

/// Whether a pair can still be used, and is not yet to be renewed.
fn fresh(pair: &KeyPairPem, names: &[String], now: UnixSeconds) -> bool {
    parse(pair, names, now).is_ok_and(|certificate| now < certificate.renew_at())
}
