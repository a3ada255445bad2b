//! Headstart's edge: a Cloudflare Worker that mints tickets and serves what is positioned behind them.
