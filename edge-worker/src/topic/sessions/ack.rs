//! An ack that does not come over the connection itself: from a subscriber of Server-Sent Events.

use headstart_protocol::channel::{Place, Secret};
use serde::{Deserialize, Serialize};

/// The body of `POST /topics/{topic}/acks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AckBody {
    /// The connection's secret id, from its welcome.
    pub subscriber: Secret,
    /// The sequence number of the update that has arrived.
    pub sequence: u64,
    /// Where the client is, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_is_read_strictly() {
        let read = |text: &str| serde_json::from_str::<AckBody>(text).is_ok();
        assert!(read(r#"{"subscriber":"root.x","sequence":7}"#));
        assert!(read(
            r#"{"subscriber":"x","sequence":7,"place":{"latitude":-33.9,"longitude":151.2}}"#
        ));
        for bad in [
            "{}",
            r#"{"subscriber":"x","sequence":-1}"#,
            r#"{"subscriber":"x","sequence":1,"more":2}"#,
            r#"{"subscriber":"x","sequence":1,"place":{"latitude":91,"longitude":0}}"#,
        ] {
            assert!(!read(bad), "{bad}");
        }
    }
}
