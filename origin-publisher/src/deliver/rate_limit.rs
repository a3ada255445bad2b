//! `RateLimit` ([draft-ietf-httpapi-ratelimit-headers](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/)):
//! how many requests a server still takes, and for how long that counts, as `"default";r=50;t=30`.

use std::time::Duration;

use http::HeaderMap;

/// Longest time that is believed, as with `Retry-After`.
const LONGEST: Duration = Duration::from_mins(15);

/// What a server still takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Requests.
    pub requests: u32,
    /// Until there are more.
    pub reset: Duration,
}

/// Returns what a server says is left: by each of its rules, where it has several. What cannot be read is
/// passed over.
pub(super) fn left(headers: &HeaderMap) -> Vec<Left> {
    let fields = headers.get_all("ratelimit").iter();
    let texts = fields.filter_map(|field| field.to_str().ok());
    let rules = texts.flat_map(|text| text.split(','));
    rules.filter_map(rule).collect()
}

fn rule(text: &str) -> Option<Left> {
    let number = |name| {
        let mut parameters = text.split(';').skip(1).map(str::trim);
        parameters.find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
    };
    let seconds = number("t")?.parse().ok()?;
    Some(Left {
        requests: number("r")?.parse().ok()?,
        reset: Duration::from_secs(seconds).min(LONGEST),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Vec<(u32, u64)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("ratelimit", value.parse().unwrap());
        }
        let left = left(&headers).into_iter();
        left.map(|one| (one.requests, one.reset.as_secs()))
            .collect()
    }

    #[test]
    fn what_is_left_is_read_by_each_rule_and_bounded() {
        assert_eq!(parse(&["\"default\";r=50;t=30"]), [(50, 30)]);
        assert_eq!(
            parse(&["\"a\"; t=9; r=0, \"b\";r=1;t=999999"]),
            [(0, 9), (1, 900)]
        );
        assert_eq!(parse(&["\"a\";r=1;t=2", "\"b\";r=3;t=4"]), [(1, 2), (3, 4)]);
        for unreadable in ["", "default", "\"a\";r=5", "\"a\";r=-1;t=1", "r=1;t=x"] {
            assert_eq!(parse(&[unreadable]), [], "{unreadable}");
        }
    }
}
