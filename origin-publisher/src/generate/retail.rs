//! The retail generator as one of the origin's.

use headstart_protocol::login::LoginData;
use headstart_retail::{RetailError, RetailGenerator, offers::MEDIA_TYPE};

use super::{Content, Deadline, GenerateError, Generator};

impl Generator for RetailGenerator {
    fn generate(&self, login: &LoginData, deadline: &Deadline) -> Result<Content, GenerateError> {
        let offers = self.offers(login, &|| deadline.has_passed())?;
        let bytes = serde_json::to_vec(&offers)
            .map_err(|_| GenerateError::Failed("the offer could not be written".to_owned()))?;
        Ok(Content {
            media_type: MEDIA_TYPE.to_owned(),
            bytes,
        })
    }
}

impl From<RetailError> for GenerateError {
    fn from(error: RetailError) -> Self {
        match error {
            RetailError::TimedOut => Self::TimedOut,
            RetailError::BadAttribute { name, must_be } => Self::BadAttribute { name, must_be },
            RetailError::NothingToOffer => Self::Failed(error.to_string()),
        }
    }
}
