//! Reads an HTTP request as RFC 8484 defines it: which method, which path, where the DNS message
//! is, and what is wrong with it otherwise. Never looks into the DNS message, never allocates.

use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, Method, Uri, header};

/// The longest DNS message that a request may carry, in octets. Queries with every option known
/// today stay below 1 KiB; RFC 8484 allows a server to refuse more.
pub const QUERY_MAX: usize = 4096;
/// The shortest message that has a whole header (RFC 1035, 4.1.1).
pub const QUERY_MIN: usize = 12;

/// A media type of RFC 8484, 6.
pub const DNS_MESSAGE: &str = "application/dns-message";

/// Where a decoded query is put; one for each thread is enough.
pub type QueryBuffer = [u8; QUERY_MAX];

/// Why a request gets no DNS answer. Each has one status and one sentence for the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum HttpFault {
    /// 400: no `dns` parameter.
    ParameterMissing,
    /// 400: more than one `dns` parameter.
    ParameterRepeated,
    /// 400: not base64url, or padded.
    ParameterEncoding,
    /// 400: not a DNS query.
    Message,
    /// 403: access control has no answer for this client.
    Denied,
    /// 404: no endpoint has this path.
    Path,
    /// 421: this listener does not serve the host.
    Authority,
    /// 405: neither GET nor HEAD nor POST.
    Method,
    /// 408: the body did not arrive in time.
    BodyTimeout,
    /// 413: the body is too long.
    BodyLength,
    /// 414: the `dns` parameter is too long.
    ParameterLength,
    /// 415: the body is no DNS message.
    MediaType,
    /// 429: this client has too much running.
    ClientLimit,
    /// 503: the resolver is full or drains.
    Full,
    /// 500: an invariant did not hold.
    Internal,
}

impl HttpFault {
    /// The HTTP status (RFC 9110, 15).
    #[must_use]
    pub const fn status(self) -> http::StatusCode {
        use http::StatusCode as Code;
        match self {
            Self::ParameterMissing
            | Self::ParameterRepeated
            | Self::ParameterEncoding
            | Self::Message => Code::BAD_REQUEST,
            Self::Denied => Code::FORBIDDEN,
            Self::Path => Code::NOT_FOUND,
            Self::Authority => Code::MISDIRECTED_REQUEST,
            Self::Method => Code::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => Code::REQUEST_TIMEOUT,
            Self::BodyLength => Code::PAYLOAD_TOO_LARGE,
            Self::ParameterLength => Code::URI_TOO_LONG,
            Self::MediaType => Code::UNSUPPORTED_MEDIA_TYPE,
            Self::ClientLimit => Code::TOO_MANY_REQUESTS,
            Self::Full => Code::SERVICE_UNAVAILABLE,
            Self::Internal => Code::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client is told to change.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ParameterMissing => "add the dns parameter: a DNS query in base64url\n",
            Self::ParameterRepeated => "give the dns parameter once\n",
            Self::ParameterEncoding => {
                "encode the dns parameter as base64url without padding (RFC 8484, 4.1)\n"
            }
            Self::Message => "send a whole DNS query, with QR clear and nothing behind it\n",
            Self::Denied => "this client may not ask here\n",
            Self::Path => "no DNS-over-HTTPS endpoint has this path\n",
            Self::Authority => "this resolver does not serve that host\n",
            Self::Method => "use GET, HEAD or POST (RFC 8484, 4.1)\n",
            Self::BodyTimeout => "send the body without delay\n",
            Self::BodyLength => "send a DNS query of at most 4096 octets\n",
            Self::ParameterLength => "give a DNS query of at most 4096 octets\n",
            Self::MediaType => "send content-type: application/dns-message (RFC 8484, 4.1)\n",
            Self::ClientLimit => "too many queries of this client are running; retry later\n",
            Self::Full => "the resolver is busy; retry later\n",
            Self::Internal => "the resolver failed to serve this request\n",
        }
    }
}

/// A request whose head is in order.
#[derive(Debug, Eq, PartialEq)]
pub struct Accepted<'b> {
    /// Which of the endpoints it was sent to.
    pub endpoint: usize,
    /// HEAD: the answer has no body (RFC 9110, 9.3.2).
    pub head_only: bool,
    /// Where its query is.
    pub query: QueryPlace<'b>,
}

/// Where the DNS message of a request is.
#[derive(Debug, Eq, PartialEq)]
pub enum QueryPlace<'b> {
    /// It was in the `dns` parameter.
    Parameter(&'b [u8]),
    /// It is the body, still to be read.
    Body,
}

/// Reads the head of a request. The query of a GET is decoded into `buffer`.
///
/// # Errors
/// What the client did wrong.
pub fn read<'b>(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    endpoints: &[Box<str>],
    buffer: &'b mut QueryBuffer,
) -> Result<Accepted<'b>, HttpFault> {
    let path = uri.path();
    let endpoint = endpoints
        .iter()
        .position(|known| **known == *path)
        .ok_or(HttpFault::Path)?;
    if method == Method::POST {
        accept_body(headers)?;
        return Ok(Accepted {
            endpoint,
            head_only: false,
            query: QueryPlace::Body,
        });
    }
    // RFC 9110, 9.1: every general-purpose server supports GET and HEAD.
    let head_only = method == Method::HEAD;
    if !head_only && method != Method::GET {
        return Err(HttpFault::Method);
    }
    let encoded = dns_parameter(uri.query().unwrap_or_default())?;
    let query = decode(encoded, buffer)?;
    Ok(Accepted {
        endpoint,
        head_only,
        query: QueryPlace::Parameter(query),
    })
}

/// RFC 8484, 4.1: the content type of a POST says what its body is. A missing one is taken as a
/// DNS message, because clients that leave it out exist and nothing else can be meant.
fn accept_body(headers: &HeaderMap) -> Result<(), HttpFault> {
    if let Some(media) = headers.get(header::CONTENT_TYPE) {
        let media = media.as_bytes();
        let essence = media
            .split(|octet| *octet == b';')
            .next()
            .unwrap_or_default();
        if !essence
            .trim_ascii()
            .eq_ignore_ascii_case(DNS_MESSAGE.as_bytes())
        {
            return Err(HttpFault::MediaType);
        }
    }
    // h2 has checked that a content length is a number and will check that the body agrees.
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    match length.map(str::parse::<u64>) {
        Some(Ok(length)) if length > QUERY_MAX as u64 => Err(HttpFault::BodyLength),
        _ => Ok(()),
    }
}

/// RFC 8484, 4.1: the variable `dns` of the URI template; other parameters are ignored.
fn dns_parameter(query: &str) -> Result<&[u8], HttpFault> {
    let mut found = None;
    for parameter in query.as_bytes().split(|octet| *octet == b'&') {
        if let Some(value) = parameter.strip_prefix(b"dns=")
            && found.replace(value).is_some()
        {
            return Err(HttpFault::ParameterRepeated);
        }
    }
    found.ok_or(HttpFault::ParameterMissing)
}

fn decode<'b>(encoded: &[u8], buffer: &'b mut QueryBuffer) -> Result<&'b [u8], HttpFault> {
    // The length is checked before anything is decoded, so that a long parameter costs nothing.
    if encoded.len() / 4 * 3 > QUERY_MAX {
        return Err(HttpFault::ParameterLength);
    }
    let length = BASE64URL_NOPAD
        .decode_len(encoded.len())
        .map_err(|_| HttpFault::ParameterEncoding)?;
    let target = buffer.get_mut(..length).ok_or(HttpFault::ParameterLength)?;
    let decoded = BASE64URL_NOPAD
        .decode_mut(encoded, target)
        .map_err(|_| HttpFault::ParameterEncoding)?;
    if decoded < QUERY_MIN {
        return Err(HttpFault::Message);
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// RFC 8484, 4.1.1: the query for www.example.com of the RFC's own example.
    const EXAMPLE: &str = "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";

    #[allow(clippy::unwrap_in_result, reason = "a test may panic")]
    fn ask(method: &Method, target: &str) -> Result<(usize, bool, Option<Vec<u8>>), HttpFault> {
        let endpoints: [Box<str>; 2] = ["/dns-query".into(), "/family".into()];
        let mut buffer = [0; QUERY_MAX];
        let uri: Uri = target.parse().unwrap();
        let accepted = read(method, &uri, &HeaderMap::new(), &endpoints, &mut buffer)?;
        let query = match accepted.query {
            QueryPlace::Parameter(query) => Some(query.to_vec()),
            QueryPlace::Body => None,
        };
        Ok((accepted.endpoint, accepted.head_only, query))
    }

    #[test]
    fn rfc8484_4_1_1_example() {
        let (endpoint, head_only, query) =
            ask(&Method::GET, &format!("/dns-query?dns={EXAMPLE}")).unwrap();
        assert_eq!((endpoint, head_only), (0, false));
        let query = query.unwrap();
        assert_eq!(query.len(), 33);
        assert_eq!(&query[12..17], b"\x03www\x07");
    }

    #[test]
    fn other_parameters_and_endpoints() {
        let target = format!("/family?ct=x&dns={EXAMPLE}&z");
        assert_eq!(ask(&Method::HEAD, &target).unwrap().0, 1);
        assert!(ask(&Method::HEAD, &target).unwrap().1);
        assert_eq!(ask(&Method::POST, "/family").unwrap(), (1, false, None));
    }

    #[test]
    fn faults() {
        let repeated = format!("/dns-query?dns={EXAMPLE}&dns={EXAMPLE}");
        let padded = format!("/dns-query?dns={EXAMPLE}==");
        let long = format!("/dns-query?dns={}", "A".repeat(5464));
        let cases = [
            (Method::GET, "/dns-query/", HttpFault::Path),
            (Method::GET, "/", HttpFault::Path),
            (Method::PUT, "/dns-query", HttpFault::Method),
            (Method::OPTIONS, "/dns-query", HttpFault::Method),
            (Method::GET, "/dns-query", HttpFault::ParameterMissing),
            (
                Method::GET,
                "/dns-query?Dns=AAAA",
                HttpFault::ParameterMissing,
            ),
            (Method::GET, &repeated, HttpFault::ParameterRepeated),
            (Method::GET, &padded, HttpFault::ParameterEncoding),
            (
                Method::GET,
                "/dns-query?dns=AAAA+AAA",
                HttpFault::ParameterEncoding,
            ),
            (
                Method::GET,
                "/dns-query?dns=A",
                HttpFault::ParameterEncoding,
            ),
            (Method::GET, "/dns-query?dns=", HttpFault::Message),
            (
                Method::GET,
                "/dns-query?dns=AAAAAAAAAAAAAAA",
                HttpFault::Message,
            ),
            (Method::GET, &long, HttpFault::ParameterLength),
        ];
        for (method, target, fault) in cases {
            assert_eq!(ask(&method, target), Err(fault), "{method} {target:.60}");
        }
    }

    #[test]
    fn the_longest_query_is_taken() {
        let target = format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(&[7; QUERY_MAX]));
        assert_eq!(
            ask(&Method::GET, &target).unwrap().2.unwrap().len(),
            QUERY_MAX
        );
        let target = format!(
            "/dns-query?dns={}",
            BASE64URL_NOPAD.encode(&[7; QUERY_MAX + 1])
        );
        assert_eq!(ask(&Method::GET, &target), Err(HttpFault::ParameterLength));
    }

    #[test]
    fn media_types_of_a_body() {
        let cases = [
            (Some("application/dns-message"), None, Ok(())),
            (
                Some("Application/DNS-Message; charset=x"),
                Some("33"),
                Ok(()),
            ),
            (None, Some("4096"), Ok(())),
            (
                Some("application/dns-json"),
                None,
                Err(HttpFault::MediaType),
            ),
            (Some("text/plain"), Some("33"), Err(HttpFault::MediaType)),
            (
                Some("application/dns-message"),
                Some("4097"),
                Err(HttpFault::BodyLength),
            ),
        ];
        for (media, length, outcome) in cases {
            let mut headers = HeaderMap::new();
            if let Some(media) = media {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
            }
            if let Some(length) = length {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            assert_eq!(accept_body(&headers), outcome, "{media:?} {length:?}");
        }
    }
}
