//! What is settled before a question is resolved: who may ask, and local zones.

use std::sync::Arc;

use weir_resolver::action::Refusal;
use weir_resolver::answer::{Origin, ResponseCode};
use weir_resolver::event::Event;
use weir_resolver::key::{ConnectionId, StreamKey};
use weir_resolver::name::Name;
use weir_resolver::question::Query;
use weir_resolver::rrset::{RdataList, RecordType, Rrset};
use weir_resolver::settings::{AccessAction, AccessRule, LocalZone, LocalZoneKind, Prefix};

use crate::bench::Bench;
use crate::script::query;

#[test]
fn o8_who_may_not_ask_is_told_so() {
    let mut bench = Bench::new(|settings| {
        settings.access_control = [("10.0.0.0", 8), ("10.1.0.0", 16), ("10.2.0.0", 16)]
            .into_iter()
            .zip([
                AccessAction::Allow,
                AccessAction::Deny,
                AccessAction::Refuse,
            ])
            .map(|((address, length), action)| AccessRule {
                prefix: Prefix {
                    address: address.parse().unwrap(),
                    length,
                },
                action,
            })
            .collect();
    });
    bench.open(1);
    let mut ask = |stream, client: &str, recursion_desired| {
        let key = StreamKey {
            connection: ConnectionId(1),
            stream,
        };
        bench.handle(Event::Query {
            stream: key,
            query: Query {
                recursion_desired,
                client: client.parse().ok(),
                ..query(1 << 8 | stream as u16, "now.a")
            },
            traced: false,
        });
        match bench.refusals.get(&key) {
            Some(refusal) => Err(*refusal),
            None => Ok(bench.answered(key)),
        }
    };
    assert_eq!(ask(1, "10.9.0.1", true), Ok(ResponseCode::NXDOMAIN));
    assert_eq!(ask(3, "::ffff:10.9.0.1", true), Ok(ResponseCode::NXDOMAIN));
    assert_eq!(ask(5, "10.9.0.1", false), Ok(ResponseCode::REFUSED));
    assert_eq!(ask(7, "10.1.0.1", true), Err(Refusal::Denied));
    assert_eq!(ask(9, "10.2.0.1", true), Ok(ResponseCode::REFUSED));
    assert_eq!(ask(11, "192.0.2.1", true), Ok(ResponseCode::REFUSED));
    assert_eq!(bench.mesh.counters().answered_locally, 3);
    bench.end();
}

#[test]
fn local_zones_are_asked_before_anything_else() {
    let set = |owner: &str, record_type, rdata: &[u8]| {
        let (owner, rdata) = (Name::from_text(owner).unwrap(), RdataList::new([rdata]));
        Arc::new(Rrset::unsigned(owner, record_type, 60, rdata))
    };
    let mut bench = Bench::new(|settings| {
        let target = Name::from_text("ask.there").unwrap();
        settings.resolution.local_zones = vec![LocalZone {
            name: Name::from_text("local").unwrap(),
            kind: LocalZoneKind::Static,
            records: vec![
                set("a.local", RecordType::A, &[192, 0, 2, 7]),
                set("alias.local", RecordType::CNAME, target.as_wire()),
            ],
        }];
    });
    bench.open(1);
    let here = bench.ask(1, 1, "a.local");
    assert_eq!(bench.answered(here), ResponseCode::NOERROR);
    assert_eq!(bench.answers[&here][0].origin, Origin::Local);
    let absent = bench.ask(1, 3, "b.local");
    assert_eq!(bench.answered(absent), ResponseCode::NXDOMAIN);
    let alias = bench.ask(1, 5, "alias.local");
    let target = bench.ask(1, 7, "ask.there");
    assert_eq!(bench.open.len(), 1, "both wait for the same question");
    bench.reply();
    assert_eq!(bench.answered(target), ResponseCode::NXDOMAIN);
    assert_eq!(bench.answered(alias), ResponseCode::NXDOMAIN);
    let message = &bench.answers[&alias][0].message;
    assert_eq!(message[6..8], [0, 1], "the alias is in the answer section");
    assert_eq!(message[12..25], *b"\x05alias\x05local\x00");
    bench.end();
}
