//! The retail generator as one of the origin's: the one that the program runs.

use headstart_protocol::login::LoginData;
use headstart_retail::{
    RetailError, RetailGenerator, SAMPLE,
    history::{HistoryError, PurchaseHistory},
    offers::MEDIA_TYPE,
};

use super::{Content, Deadline, GenerateError, Generator};
use crate::config::RetailConfig;

/// Reads the purchase history that `config` names, and learns from it: some seconds of work for a large
/// one.
///
/// # Errors
/// [`HistoryError`], for a history that cannot be read.
pub fn learn(config: &RetailConfig) -> Result<RetailGenerator, HistoryError> {
    let history = match &config.history {
        Some(path) => PurchaseHistory::open(path)?,
        None => PurchaseHistory::read(SAMPLE)?,
    };
    tracing::info!(history = %history.report, "learned");
    Ok(RetailGenerator::new(&history, config.effort).with_effort_limit(config.effort_limit))
}

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
