//! What an answer is to look like, and how long it is waited for.

use std::time::Duration;

use weir_tests::raw_h2::Response;

/// Everything ends within this, SEND_TIMEOUT of the data plane (10 s) included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// Whether nothing more comes on a stream.
pub(crate) fn is_over(response: &Response) -> bool {
    response.ended || response.reset.is_some()
}

/// The response code that a case is to end with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Code {
    /// NOERROR, with an address.
    Noerror,
    /// SERVFAIL.
    Servfail,
    /// Whichever, or status 503.
    Any,
}

/// A whole answer: status 200 and a message with this code.
pub(crate) fn assert_answered(response: &Response, expected: Code, case: &str) {
    assert!(response.ended, "{case}: {response:?}");
    if expected == Code::Any {
        return;
    }
    assert_eq!(response.ok, Some(true), "{case}: {response:?}");
    let head = response.body.get(..12);
    let head = head.unwrap_or_else(|| panic!("{case}: no message in {response:?}"));
    let fits = match expected {
        Code::Noerror => head[3] & 15 == 0 && head[7] > 0,
        Code::Servfail => head[3] & 15 == 2,
        Code::Any => true,
    };
    assert!(fits, "{case}: {expected:?} and not {response:?}");
}
