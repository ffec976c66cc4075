//! The form of a URL path without query part, fragment and template.

/// The longest path, in octets.
const OCTETS_MAX: usize = 255;

/// What is wrong with a path, if anything.
pub(crate) fn fault(path: &str) -> Option<String> {
    let odd = |octet: u8| !octet.is_ascii_graphic() || b"?#{}\"<>\\^`|".contains(&octet);
    if !path.starts_with('/') || path.bytes().any(odd) {
        return Some(format!(
            "'{path}' is not a path: start it with / and leave out ?, # and templates"
        ));
    }
    (path.len() > OCTETS_MAX)
        .then(|| format!("is {} octets long: use at most {OCTETS_MAX}", path.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_paths_from_what_is_none() {
        for path in ["/", "/dns-query", "/a/b.c~d", "/%20"] {
            assert_eq!(fault(path), None, "{path}");
        }
        let long = "/".repeat(256);
        for path in [
            "",
            "dns-query",
            "/a b",
            "/a?b",
            "/a#b",
            "/dns-query{?dns}",
            "/\u{e4}",
            &long,
        ] {
            assert!(fault(path).is_some(), "{path}");
        }
    }
}
