//! Texts with a form of their own: durations, sizes, networks, addresses, names.
//!
//! Owns their schema, so that the API server refuses what has not the form. Their bounds are
//! rules of the fields that use them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $schema:tt) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text!(
    /// A duration such as `1800ms` or `1h30m`.
    DurationText,
    {"type": "string", "maxLength": 32}
);

text!(
    /// A size in bytes such as `64Mi`.
    SizeText,
    {"type": "string", "maxLength": 32}
);

text!(
    /// A network such as `10.0.0.0/8` or `2001:db8::/32`.
    CidrText,
    {
        "type": "string",
        "maxLength": 43,
        "x-kubernetes-validations": [{
            "rule": "isCIDR(self)",
            "message": "must be a network such as 10.0.0.0/8 or 2001:db8::/32",
        }],
    }
);

text!(
    /// An IPv4 or IPv6 address.
    AddressText,
    {
        "type": "string",
        "maxLength": 39,
        "x-kubernetes-validations": [{
            "rule": "isIP(self)",
            "message": "must be an IPv4 or IPv6 address such as 192.0.2.1 or 2001:db8::1",
        }],
    }
);

text!(
    /// A domain name; the root is `.`.
    DomainText,
    {
        "type": "string",
        "minLength": 1,
        "maxLength": 254,
        "x-kubernetes-validations": [{
            "rule": "self == '.' || self.matches('^([A-Za-z0-9_-]{1,63}[.])*[A-Za-z0-9_-]{1,63}[.]?$')",
            "message": "must be a domain name such as example.org, or . for the root",
        }],
    }
);

text!(
    /// A host name as certificates carry it; its first label may be `*`.
    HostnameText,
    {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([*][.])?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')",
            "message": "must be a host name in lower case such as dns.example.org",
        }],
    }
);

text!(
    /// A ratio from `0` to `1` such as `0.01`.
    RatioText,
    {
        "type": "string",
        "maxLength": 8,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^(0([.][0-9]{1,6})?|1([.]0{1,6})?)$')",
            "message": "must be a ratio from \"0\" to \"1\" with at most six places, such as \"0.01\"",
        }],
    }
);

/// An object without fields, for a choice that needs none: `{}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// An object of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameReference {
    /// Its name. Change: **live**.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
