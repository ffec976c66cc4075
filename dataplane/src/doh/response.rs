//! Makes the head of an HTTP response as RFC 8484 asks for it: status, content type and freshness.
//! Every header value is static or comes from a table that is filled once, so that a cached answer
//! allocates nothing here but the header map that `h2` wants.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::request::{DNS_MESSAGE, HttpFault};

/// How long a client is asked to wait after 429 or 503.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static(DNS_MESSAGE);
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");

/// The `cache-control` values in use: remaining TTLs repeat far more often than they change. One for each thread.
///
/// It is full from the start, so that what it holds never grows: one value goes as another comes.
pub struct Freshness {
    slots: Box<[(u32, HeaderValue)]>,
}

/// How many values are at hand.
const SLOTS: u32 = 512;

impl Default for Freshness {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS)
                .map(|seconds| (seconds, max_age_value(seconds)))
                .collect(),
        }
    }
}

impl Freshness {
    /// `max-age=SECONDS`, or `no-store` for none (RFC 8484, 5.1; RFC 9111, 5.2.2).
    pub fn value(&mut self, max_age: Option<u32>) -> HeaderValue {
        let Some(seconds) = max_age else {
            return NO_STORE;
        };
        let Some(slot) = self.slots.get_mut((seconds % SLOTS) as usize) else {
            return NO_STORE;
        };
        if slot.0 != seconds {
            *slot = (seconds, max_age_value(seconds));
        }
        slot.1.clone()
    }
}

fn max_age_value(seconds: u32) -> HeaderValue {
    HeaderValue::try_from(format!("max-age={seconds}")).unwrap_or(NO_STORE)
}

/// The head that goes with a DNS answer, whatever its RCODE (RFC 8484, 4.2.1).
#[must_use]
pub fn answer(freshness: HeaderValue) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    *headers = HeaderMap::with_capacity(2);
    headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
    headers.insert(header::CACHE_CONTROL, freshness);
    response
}

/// The head that goes with an HTTP fault.
#[must_use]
pub fn fault(fault: HttpFault) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = fault.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, PLAIN_TEXT);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    match fault.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, ALLOW);
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        _ => {}
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_exact_whatever_was_asked_before() {
        let mut freshness = Freshness::default();
        for seconds in [0, 1, 300, 300 + 512, 300, 86_400, u32::MAX] {
            let value = freshness.value(Some(seconds));
            assert_eq!(value.to_str().unwrap(), format!("max-age={seconds}"));
        }
        assert_eq!(freshness.value(None), "no-store");
    }

    #[test]
    fn faults_say_what_helps() {
        let response = fault(HttpFault::Method);
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, HEAD, POST");
        let response = fault(HttpFault::Full);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        let response = fault(HttpFault::ClientLimit);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "1");
        assert!(!fault(HttpFault::Path).headers().contains_key("retry-after"));
    }
}
