//! What a cached answer costs, beside a plain copy of the same octets.
//!
//! Owns one measurement: `cargo run --release -p weir-resolver --example hit`. Judges nothing; it prints nanoseconds
//! of a query that is parsed and answered from caches of a thousand to a million names, and octets of each name.

use std::error::Error;
use std::hint::black_box;
use std::io::{Write, stdout};
use std::time::Instant as Clock;

use bytes::BytesMut;
use weir_resolver::answer::{Answer, Security};
use weir_resolver::cache::Cache;
use weir_resolver::name::{NAME_MAX, Name};
use weir_resolver::question::Question;
use weir_resolver::random::Random;
use weir_resolver::rrset::{Class, RdataList, RecordType, Rrset};
use weir_resolver::settings::Settings;
use weir_resolver::time::Now;
use weir_resolver::wire::parse_query;

const ROUNDS: u32 = 2_000_000;
const NAMES: [u32; 4] = [1000, 10_000, 100_000, 1_000_000];

fn fill(cache: &Cache, settings: &Settings, count: u32) -> Result<(), Box<dyn Error>> {
    for number in 0..count {
        let name = Name::from_text(&format!("host{number:07}.example.com"))?;
        let rdata = RdataList::new([&number.to_be_bytes()[..]]);
        let set = Rrset::unsigned(name.clone(), RecordType::A, 3600, rdata);
        let answer = Answer::data(vec![set.into()], Security::Insecure);
        let question = Question {
            name,
            record_type: RecordType::A,
            class: Class::IN,
        };
        cache.store(Now::default(), settings, &question, &answer);
    }
    Ok(())
}

/// Queries for names drawn by the generator, with EDNS.
fn queries(count: u32) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut random = Random::from_seed([3, 4]);
    let one = |number: usize| -> Result<Vec<u8>, Box<dyn Error>> {
        let mut message = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\x01".to_vec();
        let name = Name::from_text(&format!("host{number:07}.example.com"))?;
        message.extend_from_slice(name.as_wire());
        message.extend_from_slice(b"\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0");
        Ok(message)
    };
    (0..4096)
        .map(|_| one(random.below(count as usize)))
        .collect()
}

fn nanoseconds(started: Clock) -> f64 {
    started.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut report = stdout().lock();
    let settings = Settings::default();
    for count in NAMES {
        let cache = Cache::new(512 << 20, [1, 2]);
        fill(&cache, &settings, count)?;
        let queries = queries(count)?;
        let mut out = BytesMut::with_capacity(4096);
        let mut hits = 0u32;
        let mut octets = 0;
        let started = Clock::now();
        for query in queries.iter().cycle().take(ROUNDS as usize) {
            let mut name = [0; NAME_MAX];
            let view = parse_query(black_box(query), &mut name)?;
            out.clear();
            let hit = cache.hit(Now::default(), &view, u16::MAX, &settings, &mut out);
            hits += u32::from(hit.is_some());
            octets = black_box(&out).len();
        }
        let hit = nanoseconds(started);
        let answer = out.clone();
        let started = Clock::now();
        for _ in 0..ROUNDS {
            out.clear();
            out.extend_from_slice(black_box(&answer));
            black_box(&out);
        }
        let copy = nanoseconds(started);
        let usage = cache.usage();
        writeln!(
            report,
            "{count:>8} names: hit {hit:6.1} ns, copy of {octets} octets {copy:5.1} ns, {} octets a name, {hits} hits",
            usage.octets / usage.entries.max(1)
        )?;
    }
    Ok(())
}
