//! `Retry-After` ([RFC 9110, 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#field.retry-after)):
//! seconds, or a date.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// Longest wait that is believed: beyond it, a wrong clock or a wrong header would stop delivery.
const LONGEST: Duration = Duration::from_mins(15);

/// Returns how long a server asks to be left alone; `None` where it does not ask.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .unwrap_or_default(),
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Option<Duration> {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let headers = [(RETRY_AFTER, value.parse().unwrap())]
            .into_iter()
            .collect();
        retry_after(&headers, now)
    }

    #[test]
    fn seconds_and_dates_are_understood_and_bounded() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(parse("120"), seconds(120));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:40 GMT"), seconds(3));
        assert_eq!(parse("Sun, 06 Nov 1994 08:00:00 GMT"), seconds(0));
        assert_eq!(parse("999999999"), seconds(900));
        assert_eq!(parse("soon"), None);
    }
}
