//! `POST /login` and `GET /origin/link`.

pub mod link;
pub mod login;
