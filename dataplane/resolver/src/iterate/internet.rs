//! A small internet for the tests of iteration. Compiled for tests alone.

use crate::answer::ResponseCode;
use crate::fetch::Transport;
use crate::rrset::RecordType;
use crate::scenario::{AA, Reaction, TC, World, answers, denies, refers};

/// The root refers `com` and `org` to 10.0.0.2, which refers `example.com` to 10.0.0.3 and
/// `example.org` to `ns.example.com`.
pub(crate) fn internet() -> World {
    let mut world = World::new();
    world.server("10.0.0.1", |plan| {
        let tld = plan.question.name.suffix(1);
        let ns = format!("{tld} 86400 NS a.gtld.com");
        refers(&[&ns], &["a.gtld.com 86400 A 10.0.0.2"])
    });
    world.server("10.0.0.2", |plan| {
        let cut = plan.question.name.suffix(2).to_string();
        match cut.as_str() {
            "example.com." => refers(
                &["example.com 3600 NS ns.example.com"],
                &["ns.example.com 3600 A 10.0.0.3"],
            ),
            "example.org." => refers(&["example.org 3600 NS ns.example.com"], &[]),
            _ => denies(ResponseCode::NXDOMAIN, "com 900 SOA 60"),
        }
    });
    world.server("10.0.0.3", |plan| {
        let name = plan.question.name.to_string();
        match (name.as_str(), plan.question.record_type) {
            ("www.example.com.", RecordType::A) => answers(&["www.example.com 300 A 192.0.2.1"]),
            ("www.example.org.", RecordType::A) => answers(&["www.example.org 300 A 192.0.2.2"]),
            ("ns.example.com.", RecordType::A) => answers(&["ns.example.com 300 A 10.0.0.3"]),
            ("a.example.com.", RecordType::A) => {
                answers(&["a.example.com 60 CNAME www.example.org"])
            }
            ("big.example.com.", RecordType::A) if plan.transport == Transport::Udp => {
                Reaction::Reply(AA | TC, vec![], vec![], vec![])
            }
            ("big.example.com.", RecordType::A) => answers(&["big.example.com 300 A 192.0.2.3"]),
            ("loop.example.com.", RecordType::A) => {
                answers(&["loop.example.com 300 CNAME loop2.example.com"])
            }
            ("loop2.example.com.", RecordType::A) => {
                answers(&["loop2.example.com 300 CNAME loop.example.com"])
            }
            ("empty.example.com.", _) | ("www.example.com.", _) => {
                denies(ResponseCode::NOERROR, "example.com 900 SOA 60")
            }
            ("www.empty.example.com.", RecordType::A) => {
                answers(&["www.empty.example.com 300 A 192.0.2.4"])
            }
            _ if name.ends_with("org.") => denies(ResponseCode::NXDOMAIN, "example.org 900 SOA 60"),
            _ => denies(ResponseCode::NXDOMAIN, "example.com 900 SOA 60"),
        }
    });
    world
}
