//! One data plane with its upstream, at one moment of the matrix.
//!
//! Owns when the moment has come for all cases, and what must hold when all have ended.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::time::sleep;
use weir_config::DataplaneConfig;
use weir_operator::pod_client::Answer;
use weir_tests::admin_port::AdminPort;
use weir_tests::edge::Edge;
use weir_tests::held_upstream::{HeldUpstream, Hold, ZONE};
use weir_tests::local_task::until;
use weir_tests::raw_h2::RawConnection;
use weir_tests::stream_ends::{How, When};

use crate::answer::{Code, PATIENCE, assert_answered, is_over};
use crate::case::{Case, Place, STALE, get};

/// States of the mesh that is to be full; the first half of them runs to its end, so that the other half yields.
const STATES: usize = 64;

/// One data plane with its upstream, at one moment.
pub(crate) struct World {
    when: When,
    edge: Edge,
    upstream: HeldUpstream,
    admin: Option<AdminPort>,
}

impl World {
    /// Where its cases are played.
    pub(crate) fn place(&self) -> Place {
        Place {
            when: self.when,
            address: self.edge.address(),
        }
    }

    pub(crate) async fn start(when: When) -> Self {
        let (ttl, signed) = match when {
            When::StaleFires => (1, false),
            _ => (3600, when == When::AwaitingDnskey),
        };
        let upstream = HeldUpstream::start(ttl, signed).await.unwrap();
        let (mut config, anchor) = (document(&upstream), upstream.trust_anchor());
        match when {
            When::WhileJostled => {
                config["workers"] = json!(1);
                config["mesh"] = json!({ "maxStates": STATES, "jostleTimeout": "10ms" });
            }
            When::StaleFires => {
                config["cache"]["serveStale"] =
                    json!({ "clientTimeout": format!("{}ms", STALE.as_millis()) });
            }
            When::AwaitingDnskey => {
                config["workers"] = json!(1);
                // A probe of the anchor would ask for the same key, and be held with the rest.
                config["dnssec"] = json!({
                    "trustAnchors": { "records": [anchor.unwrap()] },
                    "trackTrustAnchors": false,
                });
                config["resolution"]["forwardZones"][0]["validate"] = json!(true);
            }
            _ => {}
        }
        let admin = (when == When::DuringReplace).then(|| AdminPort::prepare(&mut config).unwrap());
        let world = Self {
            when,
            edge: Edge::launch(config).unwrap(),
            upstream,
            admin,
        };
        if let Some(admin) = &world.admin {
            until("the admin port is open", PATIENCE, async || {
                admin.is_open().await
            })
            .await;
        }
        world.upstream.hold(match when {
            When::AnswerQueued | When::StaleFires => Hold::Nothing,
            When::AwaitingDnskey => Hold::Dnskeys,
            _ => Hold::Everything,
        });
        world
    }

    /// Brings every case to its moment, ends it there, and sees that all the others are answered.
    pub(crate) async fn play(mut self, mut cases: Vec<Case>) {
        let full = self.fill().await;
        join_all(cases.iter_mut().map(Case::ask)).await;
        self.all_are_there(&cases).await;
        let flood = self.act(&mut cases).await;
        self.upstream.release_all().await;
        let drains = cases.iter().any(|case| case.how == How::Drain);
        join_all(cases.iter_mut().map(Case::settle)).await;
        self.rests(full, flood).await;
        drop(cases);
        if drains {
            let by = Instant::now() + PATIENCE;
            while self.edge.server.ended().unwrap().is_none() && Instant::now() < by {
                sleep(Duration::from_millis(50)).await;
            }
            let status = self.edge.server.ended().unwrap();
            assert!(status.is_some_and(|status| status.success()), "{status:?}");
        }
    }

    /// Fills the half of a small mesh that never yields, so that what comes next does.
    async fn fill(&self) -> Option<RawConnection> {
        if self.when != When::WhileJostled {
            return None;
        }
        let filled = self.crowd("filler", STATES / 2).await;
        until("the mesh is half full", PATIENCE, async || {
            self.metric("weir_mesh_states").await >= (STATES / 2) as f64
        })
        .await;
        Some(filled)
    }

    /// Many questions on one connection.
    async fn crowd(&self, name: &str, count: usize) -> RawConnection {
        let mut connection = RawConnection::open(self.edge.address(), &[]).await.unwrap();
        let streams = (0..count).zip((1..).step_by(2));
        let questions = streams.flat_map(|(n, stream)| get(stream, &format!("{name}{n}.{ZONE}")));
        connection
            .send(&questions.collect::<Vec<_>>())
            .await
            .unwrap();
        connection
    }

    /// Asks for the names of all cases once, and lets the answers expire.
    pub(crate) async fn grow_stale(&self, count: usize) {
        if self.when != When::StaleFires {
            return;
        }
        for name in ["case", "other"] {
            let mut first = self.crowd(name, count).await;
            for stream in (1..).step_by(2).take(count) {
                let answer = first.response(stream, PATIENCE, is_over).await;
                assert_answered(&answer.unwrap(), Code::Noerror, "the first answer");
            }
        }
        sleep(Duration::from_millis(2100)).await;
        self.upstream.hold(Hold::Everything);
    }

    async fn all_are_there(&self, cases: &[Case]) {
        match self.when {
            When::BeforeTheFirstFetch | When::AnswerQueued | When::StaleFires => {}
            // One query for the key of the zone, which all of them wait for.
            When::AwaitingDnskey => {
                until("all wait for the key", PATIENCE, async || {
                    self.upstream.held(ZONE) > 0 && self.metric("weir_mesh_fetches").await < 1.5
                })
                .await;
            }
            _ => {
                until("all are asked of the upstream", PATIENCE, async || {
                    cases.iter().all(|case| case.is_held(&self.upstream))
                })
                .await;
            }
        }
    }

    /// Ends every case while the moment lasts.
    async fn act(&self, cases: &mut [Case]) -> Option<RawConnection> {
        let mut flood = None;
        if self.when == When::WhileJostled {
            sleep(Duration::from_millis(30)).await;
            flood = Some(self.crowd("flood", STATES / 2 + 2).await);
        }
        if cases.iter().any(|case| case.how == How::Drain) {
            self.stale_moment(cases).await;
            self.edge.server.terminate().unwrap();
        }
        let replace = async {
            if let Some(admin) = &self.admin {
                replace(admin, &self.edge).await;
            }
        };
        let ends = join_all(cases.iter_mut().map(|case| case.end(&self.upstream)));
        join(replace, ends).await;
        flood
    }

    /// Where stale answers are the moment, waits until it has come.
    async fn stale_moment(&self, cases: &[Case]) {
        if self.when == When::StaleFires
            && let Some(last) = cases.iter().map(|case| case.asked).max()
        {
            tokio::time::sleep_until((last + STALE).into()).await;
        }
    }

    async fn metric(&self, name: &str) -> f64 {
        self.edge.metric(name).await.unwrap()
    }

    /// Nobody streams, waits or is asked any more, each stream had one end, and no rule was broken.
    async fn rests(&self, full: Option<RawConnection>, flood: Option<RawConnection>) {
        for gauge in [
            "weir_streams_active",
            "weir_mesh_states",
            "weir_mesh_waiters",
            "weir_mesh_fetches",
        ] {
            until(gauge, PATIENCE, async || {
                self.metric(gauge).await.abs() < 0.5
            })
            .await;
        }
        let streams = self.metric("weir_streams_total").await;
        let ends = self.metric("weir_stream_dispositions_total").await;
        assert!(
            (streams - ends).abs() < 0.5,
            "{streams} streams, {ends} ends"
        );
        for count in ["weir_invariant_violations_total", "weir_panics_total"] {
            assert!(self.metric(count).await.abs() < 0.5, "{count}");
        }
        drop((full, flood));
    }
}

fn document(upstream: &HeldUpstream) -> Value {
    let addresses = upstream.addresses.iter();
    let upstreams = addresses.map(|each| json!({ "address": each.ip(), "port": each.port() }));
    json!({
        "workers": 2,
        "listeners": [{ "name": "doh", "http2": { "idleTimeout": "1s" } }],
        "resolution": { "forwardZones": [{ "name": ".", "validate": false, "upstreams": upstreams.collect::<Vec<_>>() }] },
        "dnssec": { "mode": "Off" },
        "cache": {},
        "drain": { "notice": "0s", "timeout": "20s" },
    })
}

/// Makes another document live; what waits goes on by the old one.
async fn replace(admin: &AdminPort, edge: &Edge) {
    let mut config = DataplaneConfig::read(&edge.document().unwrap()).unwrap();
    config.cache.ttl.max = Duration::from_secs(77);
    let answer = admin.push(config, None).await;
    assert!(matches!(answer, Ok(Answer::Applied(_))), "{answer:?}");
}
