//! `serve`: the origin with the retail generator.

use std::sync::Arc;

use origin_publisher::{
    config::{Secrets, layers::process_environment},
    generate::retail,
    serve,
};

use super::{block_on, signals::stop_signal};
use crate::arguments::ServeArgs;

/// Runs the origin until a signal ends it.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let environment = process_environment();
    let loaded = args.config.load(&environment)?;
    let secrets = Secrets::read(&loaded.config, &environment)?;
    for name in &loaded.unknown_variables {
        tracing::warn!(name, "this variable is no setting of ours; is it misspelt?");
    }
    block_on(async {
        let stop = stop_signal()?;
        let generator = Arc::new(retail::learn(&loaded.config.generate.retail)?);
        serve::serve(&loaded.config, &secrets, generator, stop).await?;
        Ok(())
    })
}
