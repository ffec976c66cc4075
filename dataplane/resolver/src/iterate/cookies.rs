//! What cookies say of a reply (RFC 7873, 5.3).
//!
//! Owns when a reply is not believed, or the query sent again, for its cookie. TCP is the way out each time:
//! nobody off the path answers there.

use crate::answer::ResponseCode;
use crate::context::Context;
use crate::cookie::Cookie;
use crate::fetch::{FetchPlan, Transport};
use crate::iterate::send;
use crate::iterate::work::{Next, Open, Work};
use crate::wire::Reply;

/// Whether a reply carries a cookie that is not that of its query: it was forged.
#[must_use]
pub fn is_forged(plan: &FetchPlan, reply: &Reply) -> bool {
    let (Some(sent), Some(got)) = (plan.cookie, cookie_of(reply)) else {
        return false;
    };
    !got.is_of_same_client(&sent)
}

fn cookie_of(reply: &Reply) -> Option<Cookie> {
    reply.edns.as_ref().and_then(|edns| edns.cookie)
}

/// Sends the query again over TCP, or gives the server up if it came that way.
pub fn over_tcp(work: &mut Work, context: &mut Context<'_>, plan: &FetchPlan, open: &Open) -> Next {
    if plan.transport != Transport::Udp {
        return send::pass_over(work, open);
    }
    send::send_again(work, context, open.index, plan, |plan| {
        plan.transport = Transport::Tcp;
        plan.randomise_case = false;
    })
}

/// Remembers the server's cookie, and says what is done when the reply is not taken for it.
pub fn check(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    open: &Open,
) -> Option<Next> {
    let sent = plan.cookie?;
    let (now, ttl) = (context.now.instant, context.settings.cache.server_ttl);
    let got = cookie_of(reply).filter(Cookie::has_server);
    if let Some(got) = got {
        context.infra.note_cookie(now, ttl, plan.server, got);
    }
    if reply.rcode == ResponseCode::BADCOOKIE {
        // Once with the cookie that it wants; a server that is never content is asked over TCP.
        return Some(match got {
            Some(got) if !sent.has_server() => {
                send::send_again(work, context, open.index, plan, |plan| {
                    plan.cookie = Some(got);
                })
            }
            _ => over_tcp(work, context, plan, open),
        });
    }
    if reply.rcode == ResponseCode::FORMERR {
        // Some servers refuse an option that they do not know.
        context.infra.note_no_cookies(now, ttl, plan.server);
        return Some(send::send_again(work, context, open.index, plan, |plan| {
            plan.cookie = None;
        }));
    }
    if got.is_some() || !sent.has_server() {
        return None;
    }
    if plan.transport == Transport::Udp {
        // It gave a cookie before, so what comes without one may be forged.
        return Some(over_tcp(work, context, plan, open));
    }
    context.infra.note_no_cookies(now, ttl, plan.server);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::rrset::RecordType;
    use crate::scenario::{Reaction, World, answers, shown, socket, texts};

    /// The server's part behind the client's part of a query.
    fn cookie(plan: &FetchPlan, server: &[u8]) -> Vec<u8> {
        let client = plan.cookie.unwrap();
        [&client.as_octets()[..8], server].concat()
    }

    fn given(plan: &FetchPlan, rcode: ResponseCode, server: &[u8]) -> Reaction {
        let answer = texts(&["a.example 0 A 192.0.2.1"]);
        Reaction::Cookie(rcode, cookie(plan, server), answer)
    }

    fn wanted(plan: &FetchPlan) -> bool {
        plan.cookie.is_some_and(|cookie| cookie.has_server())
    }

    /// Whether a query went over TCP, and with the server's part of the cookie.
    fn sent(world: &World) -> Vec<(bool, bool)> {
        let tcp = |plan: &FetchPlan| plan.transport == Transport::Tcp;
        world
            .log
            .iter()
            .map(|plan| (tcp(plan), wanted(plan)))
            .collect()
    }

    fn resolve(world: &mut World) -> usize {
        let answer = world.resolve("a.example", RecordType::A);
        shown(&answer).len()
    }

    #[test]
    fn a_cookie_is_learnt_and_sent_and_missed() {
        let mut world = World::new();
        world.settings.resolution.qname_minimisation = crate::settings::QnameMinimisation::Off;
        world.server("10.0.0.1", |plan| {
            given(plan, ResponseCode::NOERROR, &[7; 16])
        });
        assert_eq!(resolve(&mut world), 1);
        assert_eq!(resolve(&mut world), 1);
        assert_eq!(sent(&world), [(false, true)]);
        // What comes without the cookie now may be forged, so TCP decides.
        world.server("10.0.0.1", |_| answers(&["a.example 0 A 192.0.2.1"]));
        assert_eq!(resolve(&mut world), 1);
        assert_eq!(sent(&world), [(false, true), (true, true)]);
        assert_eq!(resolve(&mut world), 1);
        assert_eq!(sent(&world), [(false, false)]);
    }

    #[test]
    fn a_server_that_wants_its_cookie_gets_it() {
        let mut world = World::new();
        world.settings.resolution.qname_minimisation = crate::settings::QnameMinimisation::Off;
        world.server("10.0.0.1", |plan| {
            let rcode = if wanted(plan) {
                ResponseCode::NOERROR
            } else {
                ResponseCode::BADCOOKIE
            };
            given(plan, rcode, &[7; 16])
        });
        assert_eq!(resolve(&mut world), 1);
        assert_eq!(sent(&world), [(false, false), (false, true)]);
        world.server("10.0.0.1", |plan| {
            let rcode = if plan.transport == Transport::Tcp {
                ResponseCode::NOERROR
            } else {
                ResponseCode::BADCOOKIE
            };
            given(plan, rcode, &[8; 16])
        });
        assert_eq!(resolve(&mut world), 1);
        assert_eq!(sent(&world), [(false, true), (true, true)]);
    }

    #[test]
    fn another_clients_cookie_is_a_forgery() {
        let mut world = World::new();
        world.settings.resolution.qname_minimisation = crate::settings::QnameMinimisation::Off;
        world.server("10.0.0.1", |plan| {
            if plan.transport == Transport::Tcp {
                return given(plan, ResponseCode::NOERROR, &[7; 16]);
            }
            let forged = texts(&["a.example 0 A 6.6.6.6"]);
            Reaction::Cookie(ResponseCode::NOERROR, vec![1; 24], forged)
        });
        let answer = world.resolve("a.example", RecordType::A);
        assert_eq!(shown(&answer), ["a.example. A 192.0.2.1"]);
    }

    #[test]
    fn servers_that_refuse_the_option_are_asked_without_it() {
        let mut world = World::new();
        world.settings.resolution.qname_minimisation = crate::settings::QnameMinimisation::Off;
        world.server("10.0.0.1", |plan| match plan.cookie {
            Some(_) => Reaction::Reply(ResponseCode::FORMERR.0, vec![], vec![], vec![]),
            None => answers(&["a.example 0 A 192.0.2.1"]),
        });
        assert_eq!(resolve(&mut world), 1);
        let view = world
            .infra
            .view(world.now.instant, socket("10.0.0.1"), &Name::root());
        assert!(view.edns && !view.cookies);
    }
}
